#!/bin/sh
# Installs the programs that the tests run and this machine lacks.
#
#     install.sh [PROGRAM=PACKAGE ...]      what else is needed
#
# Where nothing is missing it says nothing. Root gets the packages from apt-get; anybody else is told the
# command, and only in CI (CI=true) is that a failure: elsewhere the tests skip what they cannot run.
set -eu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

packages=
need() {
	command -v "$1" >/dev/null 2>&1 || packages="$packages $2"
}
need nginx nginx
need lighttpd lighttpd
need apache2 apache2-bin
need strace strace
need curl curl
# For the CGI programs in testdata/cgi.
need /usr/bin/python3 python3-minimal
# Its git-http-backend is a CGI program, its client the one that asks for it.
need git git
# SCGI applications of others, for cmd/scgi.
need fossil fossil
need uwsgi uwsgi-core
[ -e /usr/lib/uwsgi/plugins/python3_plugin.so ] || packages="$packages uwsgi-plugin-python3"
need rtorrent rtorrent
need tclsh tcl
need perl perl
[ -e /usr/share/perl5/SCGI.pm ] || packages="$packages libscgi-perl"
# An EventSource client, for cmd/windsock.
need node nodejs
need npm npm
# The race detector needs a C compiler, and that the C library's headers.
need gcc gcc
echo '#include <stdlib.h>' | gcc -E -x c - >/dev/null 2>&1 || packages="$packages libc6-dev"
for pair in "$@"; do
	need "${pair%%=*}" "${pair#*=}"
done
[ -n "$packages" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "missing for the tests: sudo apt-get install --no-install-recommends$packages" >&2
	[ "${CI-}" != true ] || exit 1
	exit 0
fi

# Debian starts a service as soon as its package is installed, unless this file says no. An existing one is
# somebody's decision and stays as it is.
policy=/usr/sbin/policy-rc.d
made_policy=
log=$(mktemp)
cleanup() {
	[ -z "$made_policy" ] || rm -f "$policy"
	rm -f "$log"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
if [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
	made_policy=yes
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi

# A broken list of packages of somebody else's is no reason not to try.
install() {
	apt-get update || echo "apt-get update failed, trying to install nevertheless"
	# shellcheck disable=SC2086 # one word a package
	apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 $packages
}
export DEBIAN_FRONTEND=noninteractive
echo "installing for the tests:$packages" >&2
if ! install >"$log" 2>&1 </dev/null; then
	cat "$log" >&2
	exit 1
fi
