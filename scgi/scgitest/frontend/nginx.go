//go:build unix

package frontend

import (
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

var nginx = program{
	name:          "nginx",
	debianPackage: "nginx",
	// Staying root, the worker reaches whatever the test can.
	workers: func() (string, error) { return "root", nil },
	write:   writeNginx,
	run: func(prefix string) []string {
		return []string{"-p", prefix, "-c", prefix + "/nginx.conf", "-e", prefix + "/error.log"}
	},
	check: func(prefix string) []string {
		return []string{"-t", "-p", prefix, "-c", prefix + "/nginx.conf", "-e", "stderr"}
	},
}

func writeNginx(s site) error {
	params, err := os.ReadFile("/etc/nginx/scgi_params")
	if err != nil {
		return fmt.Errorf("frontend: nginx's own scgi_params: %w", err)
	}
	// nginx looks for included files beside its configuration.
	if err := os.WriteFile(filepath.Join(s.Prefix, "scgi_params"), params, 0o644); err != nil {
		return err
	}
	if err := s.writeDeployed("nginx", "windsock.conf", "windsock-upstream.conf", "windsock-subrequest.conf"); err != nil {
		return err
	}
	return s.writeTemplate("nginx.conf", nginxTemplate)
}

var nginxTemplate = template.Must(template.New("nginx").Parse(`
daemon off;
{{with .User}}user {{.}};{{end}}
worker_processes 1;
pid {{.Prefix}}/nginx.pid;
error_log {{.Prefix}}/error.log notice;
events { worker_connections 4096; }
http {
	access_log off;
	client_body_temp_path {{.Prefix}}/tmp/body;
	fastcgi_temp_path {{.Prefix}}/tmp/fastcgi;
	proxy_temp_path {{.Prefix}}/tmp/proxy;
	scgi_temp_path {{.Prefix}}/tmp/scgi;
	uwsgi_temp_path {{.Prefix}}/tmp/uwsgi;
	client_max_body_size 2g;
	{{- if .Backend}}
	upstream windsock { server {{if .Addr.Socket}}unix:{{.Addr.Socket}}{{else}}{{.Addr.HostPort}}{{end}}; }
	{{- else}}
	include windsock-upstream.conf;
	{{- end}}
	server {
		listen 127.0.0.1:{{.Port}};
		server_name localhost;
		root {{.Prefix}}/srv;
		{{.Server}}
		{{- if eq .Style "deploy"}}
		include windsock.conf;
		{{- else if eq .Style "full"}}
		location ~ ^(?<hbase>{{.Mount}})(?<hpath>/.*)$ {
			include scgi_params;
			scgi_param SCRIPT_NAME $hbase;
			scgi_param PATH_INFO $hpath;
			scgi_pass windsock;
			{{.Location}}
		}
		{{- else}}
		location {{.Mount}}/ {
			include scgi_params;
			scgi_pass windsock;
			{{.Location}}
		}
		{{- end}}
	}
}
`))
