/* libcurl.h: libcurl, loaded beside the start instead of before it.
 *
 * The dynamic linker takes 4 to 5 ms and some 450 page faults for libcurl and the 35 libraries behind it:
 * most of what starting a proxy costs, and time that the other proxies of a busy host would wait. So they are
 * not linked but loaded with dlopen(3), for good, by a thread that gives way to everybody. Hits are served
 * meanwhile; the first fetch waits for it.
 *
 * The types, constants and rules are those of <curl/curl.h>; only the functions have another spelling:
 * curl->easy_init() for curl_easy_init(). Threads: one calls; the one that loads is gone afterwards. */
#ifndef LARDER_LIBCURL_H
#define LARDER_LIBCURL_H

#define CURL_DISABLE_TYPECHECK /* its macros call the functions by name */
#include <curl/curl.h>
#include <stddef.h>

#define LIBCURL_FUNCTIONS(X)                                                                                 \
    X(easy_cleanup)                                                                                          \
    X(easy_getinfo)                                                                                          \
    X(easy_init)                                                                                             \
    X(easy_pause)                                                                                            \
    X(easy_setopt)                                                                                           \
    X(easy_strerror)                                                                                         \
    X(global_cleanup)                                                                                        \
    X(global_init)                                                                                           \
    X(multi_add_handle)                                                                                      \
    X(multi_assign)                                                                                          \
    X(multi_cleanup)                                                                                         \
    X(multi_info_read)                                                                                       \
    X(multi_init)                                                                                            \
    X(multi_remove_handle)                                                                                   \
    X(multi_setopt)                                                                                          \
    X(multi_socket_action)

/* In parentheses: some of them are macros as well. */
#define LIBCURL_MEMBER(name) __typeof__((curl_##name)) *name;
struct libcurl {
    LIBCURL_FUNCTIONS(LIBCURL_MEMBER)
};
#undef LIBCURL_MEMBER

/* NULL until libcurl_load() was successful, then valid for good. */
extern const struct libcurl *curl;

/* Begins to load it. It may be left out. */
void libcurl_load_early(void);
/* Has it loaded, once, which may block for some milliseconds, and sets it up, each time: see
 * libcurl_release(). 0, or -ELIBACC with the dynamic linker's words in `problem`, or -EIO. */
int libcurl_load(char *problem, size_t problem_size);
/* For each libcurl_load() that was successful. It stays loaded. */
void libcurl_release(void);
/* Before the process ends: nothing is being loaded any more. */
void libcurl_settle(void);

#endif
