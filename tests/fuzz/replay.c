/* Runs a fuzz target over files, or over all files of a directory, where there is no libFuzzer. */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

static void fail(const char *path)
{
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    exit(2);
}

/* A buffer of exactly the input's size, so that a sanitizer sees a read behind it. */
static uint8_t *read_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(size ? size : 1);

    if (!file || !bytes || fread(bytes, 1, size, file) != size)
        fail(path);
    fclose(file);
    return bytes;
}

static unsigned run(const char *path)
{
    struct dirent **names;
    char inside[4096];
    struct stat status;
    unsigned count = 0;

    if (stat(path, &status) != 0)
        fail(path);
    if (!S_ISDIR(status.st_mode)) {
        uint8_t *bytes = read_file(path, (size_t)status.st_size);
        LLVMFuzzerTestOneInput(bytes, (size_t)status.st_size);
        free(bytes);
        return 1;
    }
    int entries = scandir(path, &names, NULL, alphasort);
    if (entries < 0)
        fail(path);
    for (int i = 0; i < entries; i++) {
        snprintf(inside, sizeof inside, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            count += run(inside);
        free(names[i]);
    }
    free(names);
    return count;
}

int main(int argc, char **argv)
{
    unsigned count = 0;

    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++)
        count += run(argv[i]);
    printf("%u inputs\n", count);
    return count > 0 ? 0 : 2;
}
