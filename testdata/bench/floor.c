// floor is the least that an SCGI server can do: one thread, one epoll, and for each connection accept4, read,
// write, close. It answers every request with the same 200. Benchmarks measure others against it.
//
//     cc -O2 -o floor floor.c
//     ./floor unix:/tmp/floor.sock        ./floor tcp:127.0.0.1:4000
//
// It prints "ready" when it listens, and runs until it is killed. Linux only.
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_REQUEST = 64 << 10, MAX_FDS = 1 << 16, MAX_EVENTS = 256, BACKLOG = 4096 };

static const char answer[] = "Status: 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\n\r\nOK";

// partial is a request of which not all is here yet, by descriptor.
static struct partial { size_t n; char bytes[MAX_REQUEST]; } *partials[MAX_FDS];
static char buffer[MAX_REQUEST + 1]; // what is read; and a NUL, where a number ends
static int epoll;

static void die(const char *what) { perror(what); exit(1); }

static int listen_unix(const char *path) {
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof addr.sun_path) { errno = ENAMETOOLONG; die(path); }
	strcpy(addr.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) < 0) die(path);
	return fd;
}

static int listen_tcp(char *host) {
	char *port = strrchr(host, ':');
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
	if (!port) { errno = EINVAL; die(host); }
	*port++ = 0;
	if (getaddrinfo(host, port, &hints, &found) != 0) { errno = EINVAL; die(host); }
	int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) < 0) die(host);
	freeaddrinfo(found);
	return fd;
}

// complete says whether all of a request is here: LEN ":" "CONTENT_LENGTH" NUL digits NUL ... "," body.
static int complete(const char *request, size_t n) {
	char *end;
	size_t header = strtoul(request, &end, 10), digits = end - request;
	if (n < digits + 1 + sizeof "CONTENT_LENGTH" || header > MAX_REQUEST) return 0;
	size_t body = strtoul(request + digits + 1 + sizeof "CONTENT_LENGTH", NULL, 10);
	return body <= MAX_REQUEST && n >= digits + 1 + header + 1 + body;
}

static void watch(int fd) {
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

static void finish(int fd) {
	free(partials[fd]);
	partials[fd] = NULL;
	close(fd);
}

// serve reads what is there and answers once that is a whole request.
static void serve(int fd, int watched) {
	size_t had = partials[fd] ? partials[fd]->n : 0;
	if (had) memcpy(buffer, partials[fd]->bytes, had);
	ssize_t n = read(fd, buffer + had, MAX_REQUEST - had);
	if (n < 0 && errno == EAGAIN) n = 0;
	else if (n <= 0) { finish(fd); return; }
	buffer[had + n] = 0;
	if (complete(buffer, had + n)) {
		if (send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL) < 0) {} // it is closed in any case
		finish(fd);
		return;
	}
	if (!partials[fd] && !(partials[fd] = malloc(sizeof *partials[fd]))) die("malloc");
	memcpy(partials[fd]->bytes, buffer, partials[fd]->n = had + n);
	if (!watched) watch(fd);
}

int main(int argc, char **argv) {
	char *addr = argc == 2 ? argv[1] : "";
	int listener;
	if (!strncmp(addr, "unix:", 5)) listener = listen_unix(addr + 5);
	else if (!strncmp(addr, "tcp:", 4)) listener = listen_tcp(addr + 4);
	else return fprintf(stderr, "usage: floor unix:PATH|tcp:HOST:PORT\n"), 2;
	if (listen(listener, BACKLOG) < 0) die("listen");
	if ((epoll = epoll_create1(0)) < 0) die("epoll_create1");
	watch(listener);
	puts("ready");
	fflush(stdout);
	for (;;) {
		struct epoll_event events[MAX_EVENTS];
		int n = epoll_wait(epoll, events, MAX_EVENTS, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.fd != listener) { serve(events[i].data.fd, 1); continue; }
			for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
				if (fd < MAX_FDS) serve(fd, 0); else close(fd);
			}
		}
	}
}
