#!/usr/bin/python3
# A megabyte.
print("Content-Type: text/plain\n")
for n in range(16384):
    print("%63d" % n)
