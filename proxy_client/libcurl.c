#include "libcurl.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* Next to nothing beside who serves, yet a tenth of a processor that is wanted by one more. */
#define LOADER_NICE 10

const struct libcurl *curl;

static struct {
    pthread_t thread;
    bool runs;
    int error; /* of find_functions() */
    char problem[512];
} loader;

static int not_loadable(void *library)
{
    snprintf(loader.problem, sizeof loader.problem, "libcurl cannot be loaded: %s", dlerror());
    if (library)
        dlclose(library);
    return -ELIBACC;
}

static int find_functions(void)
{
    static struct libcurl functions;
    void *library = dlopen(LIBCURL_SONAME, RTLD_NOW | RTLD_LOCAL);
    void *found;

    if (!library)
        return not_loadable(NULL);
        /* POSIX: a function's address may be stored as dlsym() gives it; memcpy, as C has no such conversion.
         */
#define LIBCURL_FIND(name)                                                                                   \
    if (!(found = dlsym(library, "curl_" #name)))                                                            \
        return not_loadable(library);                                                                        \
    memcpy(&functions.name, &found, sizeof found);
    LIBCURL_FUNCTIONS(LIBCURL_FIND)
#undef LIBCURL_FIND
    curl = &functions;
    return 0;
}

/* Linux gives a nice value to a thread, not to its process (setpriority(2), "C library/kernel differences").
 */
static void *load(void *unused)
{
    (void)unused;
    setpriority(PRIO_PROCESS, 0, LOADER_NICE);
    loader.error = find_functions();
    return NULL;
}

void libcurl_load_early(void)
{
    sigset_t all, before;

    if (curl || loader.runs)
        return;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    loader.runs = pthread_create(&loader.thread, NULL, load, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void libcurl_settle(void)
{
    if (loader.runs)
        pthread_join(loader.thread, NULL);
    loader.runs = false;
}

/* After a failure it is tried again. */
static int loaded(void)
{
    libcurl_settle();
    if (!curl)
        loader.error = find_functions();
    return loader.error;
}

int libcurl_load(char *problem, size_t problem_size)
{
    int error = loaded();

    if (error) {
        snprintf(problem, problem_size, "%s", loader.problem);
        return error;
    }
    if (curl->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        snprintf(problem, problem_size, "libcurl cannot be set up");
        return -EIO;
    }
    return 0;
}

void libcurl_release(void)
{
    curl->global_cleanup();
}
