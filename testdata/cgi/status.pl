#!/usr/bin/perl
# A status other than 200, and names in an unusual case.
print "sTATUS: 404 Nothing Here\ncontent-TYPE: text/html; charset=utf-8\n\n<p>nothing here</p>\n";
