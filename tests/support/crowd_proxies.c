#include "crowd_proxies.h"

#include <errno.h>
#include <stdio.h>

static bool parse(struct crowd_proxy *proxy, const char *line)
{
    unsigned port;
    int pid;
    char rest;

    if (sscanf(line, "127.0.0.1:%5u %10d %c", &port, &pid, &rest) != 2) /* NOLINT(cert-err34-c): bounded */
        return false;
    *proxy = (struct crowd_proxy){.port = (uint16_t)port, .pid = pid};
    return port > 0 && port <= UINT16_MAX && pid > 0;
}

int crowd_proxies_read(struct crowd_proxies *proxies, const char *path)
{
    FILE *file = fopen(path, "re");
    char line[128];
    bool good = true;

    proxies->count = 0;
    if (!file)
        return -errno;
    while (good && fgets(line, sizeof(line), file))
        good = proxies->count < CROWD_PROXIES_MAX && parse(&proxies->proxy[proxies->count++], line);
    fclose(file);
    return good && proxies->count ? 0 : -EINVAL;
}
