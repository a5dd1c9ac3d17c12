#!/usr/bin/tclsh
# An application on Wapp: it says what it was asked, and on what port it listens. Wapp's answer begins with a status
# line as in HTTP, "HTTP/1.1 200 OK".
fconfigure stdout -buffering line
source [file join [file dirname [info script]] wapp wapp.tcl]

proc wapp-default {} {
	wapp-reply-code [expr {[wapp-param PATH_INFO] eq "/missing" ? "404 Not Found" : "200 OK"}]
	wapp-mimetype text/plain
	wapp-reply-extra X-Peer wapp
	foreach name {REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING REMOTE_ADDR HTTP_X_FORWARDED_FOR} {
		wapp-unsafe "$name=[wapp-param $name]\n"
	}
	set body [wapp-param CONTENT]
	wapp-unsafe "body=[string length $body] [string range $body 0 99]\n"
}

wapp-start {-scgi 0}
