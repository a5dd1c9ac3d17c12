#!/bin/sh
# What a non-parsed-header program prints.
printf 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nx\n'
