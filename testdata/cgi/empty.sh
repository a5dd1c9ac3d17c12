#!/bin/sh
# Prints nothing.
