#!/bin/sh
echo 'no header here'
echo 'nor here'
