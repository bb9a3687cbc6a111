/* origin_url.h: what --origin may say, taken apart. Pure. */
#ifndef LARDER_ORIGIN_URL_H
#define LARDER_ORIGIN_URL_H

#include <stddef.h>

#define ORIGIN_URL_MAX 1024

struct origin_url {
    char scheme[8];                     /* "http" or "https" */
    char authority[ORIGIN_URL_MAX + 8]; /* what Host says: the port only if it is not the scheme's own */
    char connect[ORIGIN_URL_MAX + 32];  /* "http://host:port/" */
    char base_path[ORIGIN_URL_MAX];     /* "" or "/base", no slash at the end */
    char base[2 * ORIGIN_URL_MAX + 32]; /* "http://host:port/base" */
};

/* 0, or -EINVAL with one line in `problem`. Only http and https; no user or password, query or fragment. */
int origin_url_parse(struct origin_url *out, const char *text, char *problem, size_t problem_size);

#endif
