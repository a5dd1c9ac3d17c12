//go:build unix

package frontend

import (
	"errors"
	"os"
	"os/user"
	"text/template"
)

var apache = program{
	name:          "apache2",
	debianPackage: "apache2-bin",
	workers:       apacheUser,
	write:         writeApache,
	run: func(prefix string) []string {
		return []string{"-DFOREGROUND", "-f", prefix + "/apache.conf"}
	},
	check: func(prefix string) []string {
		return []string{"-t", "-f", prefix + "/apache.conf"}
	},
}

// apacheUser finds somebody for root's workers to be: Apache refuses to let them be root.
func apacheUser() (string, error) {
	for _, name := range []string{"www-data", "nobody"} {
		if _, err := user.Lookup(name); err == nil {
			return name, nil
		}
	}
	return "", errors.New("frontend: neither www-data nor nobody exists for Apache's workers")
}

func writeApache(s site) error {
	if s.User != "" && s.Addr.Socket != "" {
		if err := os.Chmod(s.Addr.Socket, 0o666); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := s.writeDeployed("apache", "windsock.conf"); err != nil {
		return err
	}
	return s.writeTemplate("apache.conf", apacheTemplate)
}

// LimitRequestBody 0 is no limit. nocanon, which would keep the path as it came, is not for ProxyPass here:
// with it mod_proxy_scgi puts the query into PATH_INFO.
var apacheTemplate = template.Must(template.New("apache").Parse(`
ServerRoot {{.Prefix}}
DefaultRuntimeDir {{.Prefix}}
ServerName localhost
PidFile {{.Prefix}}/apache.pid
ErrorLog {{.Prefix}}/error.log
Listen 127.0.0.1:{{.Port}}
{{with .User}}
User {{.}}
Group "#{{$.Group}}"
{{end}}
DocumentRoot {{.Prefix}}/srv
{{- range .ApacheModules}}
LoadModule {{.}}_module /usr/lib/apache2/modules/mod_{{.}}.so
{{- end}}
StartServers 1
ServerLimit 4
ThreadsPerChild 64
MaxRequestWorkers 256
MinSpareThreads 1
LimitRequestBody 0
{{.Server}}
{{- with .Addr}}
{{- if .Socket}}
Define WINDSOCK_BACKEND unix:{{.Socket}}|scgi://localhost
{{- else if .Host}}
Define WINDSOCK_BACKEND scgi://{{.HostPort}}
{{- end}}
{{- end}}
{{- if eq .Style "deploy"}}
Include {{.Prefix}}/windsock.conf
{{- else if eq .Style "full"}}
AllowEncodedSlashes NoDecode
ProxyPass {{.Mount}}/ ${WINDSOCK_BACKEND}/ retry=0
<Location {{.Mount}}/>
	SetEnvIf Request_URI . proxy-scgi-pathinfo
	ProxySCGIInternalRedirect Off
	CGIPassAuth On
	{{.Location}}
</Location>
{{- else}}
ProxyPass {{.Mount}}/ ${WINDSOCK_BACKEND}/
<Location {{.Mount}}/>
	{{.Location}}
</Location>
{{- end}}
`))

// Group is the number of the workers' group. Apache has no default for it that works.
func (s site) Group() (string, error) {
	u, err := user.Lookup(s.User)
	if err != nil {
		return "", err
	}
	return u.Gid, nil
}

// ApacheModules are what the configurations need beyond what is compiled in.
func (site) ApacheModules() []string {
	return []string{"mpm_event", "authz_core", "alias", "setenvif", "proxy", "proxy_scgi"}
}
