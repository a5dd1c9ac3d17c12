//go:build unix

package frontend

import "text/template"

var lighttpd = program{
	name:          "lighttpd",
	debianPackage: "lighttpd",
	// lighttpd has no separate workers: it runs as the caller.
	workers: func() (string, error) { return "", nil },
	write:   writeLighttpd,
	run: func(prefix string) []string {
		return []string{"-D", "-f", prefix + "/lighttpd.conf"}
	},
	check: func(prefix string) []string {
		return []string{"-tt", "-f", prefix + "/lighttpd.conf"}
	},
}

func writeLighttpd(s site) error {
	if err := s.writeDeployed("lighttpd", "windsock.conf", "windsock-socket.conf"); err != nil {
		return err
	}
	return s.writeTemplate("lighttpd.conf", lighttpdTemplate)
}

var lighttpdTemplate = template.Must(template.New("lighttpd").Parse(`
server.modules = ()
server.bind = "127.0.0.1"
server.port = {{.Port}}
server.document-root = "{{.Prefix}}/srv"
server.errorlog = "{{.Prefix}}/error.log"
server.upload-dirs = ( "{{.Prefix}}/tmp" )
{{.Server}}
{{if .Addr.Socket -}}
var.windsock_backend = ( "socket" => "{{.Addr.Socket}}" )
{{- else if .Addr.Host -}}
var.windsock_backend = ( "host" => "{{.Addr.Host}}", "port" => {{.Addr.Port}} )
{{- else -}}
include "windsock-socket.conf"
{{- end}}
{{if eq .Style "deploy" -}}
include "windsock.conf"
{{- else -}}
server.modules += ( "mod_scgi" )
$HTTP["url"] =~ "^{{.Mount}}(/|$)" {
	scgi.server = ( "{{.Mount}}{{if eq .Style "stock"}}/{{end}}" =>
		( var.windsock_backend + ( "check-local" => "disable" ) ) )
	{{.Location}}
}
{{- end}}
`))
