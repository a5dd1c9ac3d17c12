//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// This file is what comes through nginx, and what windsock does behind it and
// without it.

// nginxConfig has a server for each backend; each listens on a port of its own.
const nginxConfig = `
worker_processes 1;
daemon off;
pid %[1]s/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
	access_log off;
	keepalive_requests 1000000000;
	client_body_temp_path %[1]s/t1; proxy_temp_path %[1]s/t2; fastcgi_temp_path %[1]s/t3; scgi_temp_path %[1]s/t4; uwsgi_temp_path %[1]s/t5;
	upstream http { server unix:%[1]s/http; keepalive 64; }
%[2]s}
`

// How nginx hands requests on to the backends, which are unix sockets of these
// names in the run's folder.
const (
	byProxy = `	server { listen %[2]s; location / { proxy_pass http://%[3]s; proxy_http_version 1.1; proxy_set_header Connection ""; } }
`
	bySCGI = `	server { listen %[2]s; location / { include /etc/nginx/scgi_params; scgi_pass unix:%[1]s/%[3]s; } }
`
)

var backends = []struct{ name, by string }{
	{"http", byProxy}, {"floor", bySCGI}, {"scgi", bySCGI}, {"windsock", bySCGI},
}

// in is a unix socket in the run's folder.
func (b *bench) in(name string) string { return "unix:" + filepath.Join(b.folder, name) }

// startNginx returns the addresses of its servers, by the name of the backend.
func (b *bench) startNginx(cpus []int) (*process, map[string]string, error) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		return nil, nil, fmt.Errorf("%w: nginx is not installed", errMissing)
	}
	ports, err := freePorts(len(backends))
	if err != nil {
		return nil, nil, err
	}
	servers, addresses := "", map[string]string{}
	for i, backend := range backends {
		servers += fmt.Sprintf(backend.by, b.folder, ports[i], backend.name)
		addresses[backend.name] = "tcp:" + ports[i]
	}
	config := filepath.Join(b.folder, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, b.folder, servers), 0o600); err != nil {
		return nil, nil, err
	}
	if err := os.Chmod(b.folder, 0o755); err != nil { // nginx's worker may be another user
		return nil, nil, err
	}
	p, err := start(cpus, nil, program, "-c", config, "-p", b.folder)
	if err != nil {
		return nil, nil, err
	}
	if err := p.listens(addresses["windsock"]); err != nil {
		p.stop()
		return nil, nil, err
	}
	return p, addresses, nil
}

// freePorts are ports of the loopback interface that nobody has right now.
func freePorts(n int) (addresses []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // held until all are chosen
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// nginx measures handlers behind nginx.
func (b *bench) nginx() error {
	s := allCores(32)
	front, addresses, err := b.startNginx(s.server)
	if err != nil {
		return missing("through nginx", err)
	}
	defer front.stop()
	up := []*running{
		{contender: contender{name: oursName + ", scgi_pass", start: startGo("scgi")}, address: "scgi"},
		{contender: contender{name: "net/http, proxy_pass keep-alive", start: startGo("http")}, address: "http"},
		{contender: contender{name: floorName + ", scgi_pass", start: startFloor}, address: "floor"},
	}
	for i, r := range up {
		r.process, err = r.start(b, s.server, b.in(r.address))
		if errors.Is(err, errMissing) { // the last one
			up = up[:i]
			break
		}
		if err != nil {
			return err
		}
		defer r.process.stop()
		if err := os.Chmod(filepath.Join(b.folder, r.address), 0o666); err != nil {
			return err
		}
		r.keep, r.request, r.front, r.address = true, httpRequest(true), front, addresses[r.address]
	}
	if err := b.interleave(s, up); err != nil {
		return err
	}
	b.report.add(frontTable("behind nginx, "+s.name, up, up[1]))
	return nil
}

// durable measures messages that windsock stores: as it is shipped, with its log
// in a file.
func (b *bench) durable() error {
	s := allCores(64)
	floor, err := startFloor(b, s.server, b.in("floor"))
	if err != nil {
		return missing("windsock", err)
	}
	defer floor.stop()
	windsock, err := b.startWindsock(s.server)
	if err != nil {
		return err
	}
	defer windsock.stop()
	up := []*running{
		{contender: contender{name: floorName, request: scgiRequest()}, process: floor, address: b.in("floor")},
		{contender: contender{name: "windsock, POST /message", request: messageRequest(true)}, process: windsock, address: b.in("windsock")},
	}
	front, addresses, err := b.startNginx(s.server)
	if err := missing("windsock behind nginx", err); err != nil {
		return err
	}
	if front != nil {
		defer front.stop()
		up = append(up, &running{contender: contender{name: "the same, behind nginx", request: messageRequest(false), keep: true},
			process: windsock, front: front, address: addresses["windsock"]})
	}
	if err := b.interleave(s, up); err != nil {
		return err
	}
	b.report.add(frontTable("durable: "+s.name, up, up[0]))
	return nil
}

func (b *bench) startWindsock(cpus []int) (*process, error) {
	program := filepath.Join(b.folder, "program")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "./cmd/windsock")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building windsock: %w\n%s", err, out)
	}
	// The shell gives it a file to log to, and is it then.
	p, err := start(cpus, []string{"LOG=" + filepath.Join(b.folder, "log")}, "/bin/sh", "-c", `exec "$0" "$@" 2>"$LOG"`, program, "serve",
		"--listen", b.in("windsock")+"?mode=0666", "--store", "sqlite:"+filepath.Join(b.folder, "windsock.db"))
	if err != nil {
		return nil, err
	}
	if err := p.listens(b.in("windsock")); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// frontTable compares what applications and front end cost together.
func frontTable(title string, up []*running, base *running) table {
	t := table{title: title, header: []string{"", "us CPU app", "nginx", "both", "quarters", "both x " + base.name, "requests/s", "p99 ms"}}
	both := func(s sample) float64 { return s.cost + s.front }
	for _, r := range up {
		sum := column(r.samples, both)
		median := func(of func(sample) float64) float64 { return quantile(column(r.samples, of), 0.5) }
		t.rows = append(t.rows, []string{
			r.name,
			fmt.Sprintf("%.1f", median(func(s sample) float64 { return s.cost })),
			fmt.Sprintf("%.1f", median(func(s sample) float64 { return s.front })),
			fmt.Sprintf("%.1f", quantile(sum, 0.5)),
			fmt.Sprintf("%.1f to %.1f", quantile(sum, 0.25), quantile(sum, 0.75)),
			ratioOf(r.samples, base.samples, both),
			fmt.Sprintf("%.0f", median(func(s sample) float64 { return s.rate })),
			fmt.Sprintf("%.2f", median(func(s sample) float64 { return s.p99 })),
		})
	}
	return t
}
