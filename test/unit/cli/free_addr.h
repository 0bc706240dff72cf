/*
 * free_addr.h - an address of this machine with a port that is free now.
 */
#ifndef WR_TEST_FREE_ADDR_H
#define WR_TEST_FREE_ADDR_H

#include "harness/t.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* "127.0.0.1:40001" */
static inline void free_addr(char *addr, size_t size)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    T(fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0);
    T(getsockname(fd, (struct sockaddr *)&a, &n) == 0 && close(fd) == 0);
    (void)snprintf(addr, size, "127.0.0.1:%u", ntohs(a.sin_port));
}

#endif
