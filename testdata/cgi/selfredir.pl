#!/usr/bin/perl
# What many forms do after a POST: back to itself.
printf "Status: 303 See Other\nLocation: %s?saved=1\nX-Path-Info: %s\n\n", $ENV{SCRIPT_NAME}, $ENV{PATH_INFO} // "";
