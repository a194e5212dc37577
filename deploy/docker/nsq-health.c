/* nsq-health: whether the daemon of this container is ready; exit status 0 if it is.
 *
 * Asks /readyz of the daemon that is process 1. NSQ_HEALTH_ADDRESS (host:port, or the path of a Unix socket) says where,
 * if it does not listen on its usual port. With --tls-required, too, this is plain HTTP: probes need no TLS. A container
 * that runs no daemon but a utility is healthy while it runs.
 *
 * In C because it runs every few seconds in every container: it costs a millisecond, an interpreter a hundred.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* Seconds; less than the timeout of HEALTHCHECK, so that it is this program that says why. */
enum { TIMEOUT = 8 };

static const struct {
    const char *program;
    const char *address;
} USUAL[] = {
    {"nsqd", "127.0.0.1:4151"},
    {"nsqd-slot", "127.0.0.1:4151"},
    {"nsqlookupd", "127.0.0.1:4161"},
    {"nsqadmin", "127.0.0.1:4171"},
};

/* Where the program of process 1 listens, NULL if it is no daemon: the interpreter and the program, or with an init in
 * front of them a few words later. */
static const char *usual_address(const char *command_line) {
    static char words[4096];
    FILE *file = fopen(command_line, "rb");
    size_t length = 0;
    if (file) {
        length = fread(words, 1, sizeof words - 1, file);
        fclose(file);
    }
    const char *word = words;
    for (int count = 0; count < 5 && word < words + length; count++, word += strlen(word) + 1) {
        const char *slash = strrchr(word, '/');
        for (size_t i = 0; i < sizeof USUAL / sizeof *USUAL; i++)
            if (!strcmp(slash ? slash + 1 : word, USUAL[i].program))
                return USUAL[i].address;
    }
    return NULL;
}

static int failed(const char *where, const char *why) {
    printf("%s: %s\n", where, why);
    return -1;
}

static int connected(int domain, const struct sockaddr *address, socklen_t length) {
    struct timeval limit = {.tv_sec = TIMEOUT};
    int connection = socket(domain, SOCK_STREAM, 0);
    if (connection < 0)
        return -1;
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(connection, address, length) == 0)
        return connection;
    int error = errno;
    close(connection);
    errno = error == EINPROGRESS ? ETIMEDOUT : error;
    return -1;
}

static int connect_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return failed(path, "too long for the path of a socket");
    strcpy(address.sun_path, path);
    int connection = connected(AF_UNIX, (struct sockaddr *)&address, sizeof address);
    return connection < 0 ? failed(path, strerror(errno)) : connection;
}

static int connect_tcp(const char *where) {
    char host[256];
    const char *colon = strrchr(where, ':');
    if (!colon || (size_t)(colon - where) >= sizeof host)
        return failed(where, "is not HOST:PORT");
    size_t length = colon - where;
    memcpy(host, where, length);
    host[length] = 0;
    char *name = host;
    if (host[0] == '[' && host[length - 1] == ']') { /* IPv6 */
        host[length - 1] = 0;
        name++;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int trouble = getaddrinfo(*name ? name : "127.0.0.1", colon + 1, &hints, &found);
    if (trouble)
        return failed(where, gai_strerror(trouble));
    int connection = -1;
    for (struct addrinfo *each = found; each && connection < 0; each = each->ai_next)
        connection = connected(each->ai_family, each->ai_addr, each->ai_addrlen);
    int error = errno;
    freeaddrinfo(found);
    return connection < 0 ? failed(where, strerror(error)) : connection;
}

int main(void) {
    static const char request[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    static char answer[65536];
    const char *where = getenv("NSQ_HEALTH_ADDRESS");
    const char *command_line = getenv("NSQ_HEALTH_CMDLINE"); /* for its tests */
    if (!where || !*where)
        where = usual_address(command_line ? command_line : "/proc/1/cmdline");
    if (!where)
        return 0;
    int connection = *where == '/' ? connect_unix(where) : connect_tcp(where);
    if (connection < 0)
        return 1;
    size_t length = 0;
    if (send(connection, request, sizeof request - 1, MSG_NOSIGNAL) < 0)
        return failed(where, strerror(errno)), 1;
    while (length < sizeof answer - 1) {
        ssize_t received = recv(connection, answer + length, sizeof answer - 1 - length, 0);
        if (received < 0)
            return failed(where, errno == EAGAIN ? "no answer in time" : strerror(errno)), 1;
        if (received == 0)
            break;
        length += received;
    }
    const char *body = strstr(answer, "\r\n\r\n");
    int status = 0;
    if (sscanf(answer, "HTTP/1.%*d %d", &status) != 1 || !body)
        return failed(where, "no answer of a daemon"), 1;
    printf("%s\n", body + 4);
    return status == 200 ? 0 : 1;
}
