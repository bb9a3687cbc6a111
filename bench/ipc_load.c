#include "ipc_load.h"

#include <stdlib.h>

static uint32_t number(const char *text)
{
    return (uint32_t)strtoul(text, NULL, 10);
}

bool ipc_load_take(struct ipc_load *load, int option, const char *argument)
{
    switch (option) {
    case 'd':
        load->depth = number(argument);
        return true;
    case 's':
        load->size = number(argument);
        return true;
    case 'k':
        load->keys = number(argument);
        return true;
    case 't':
        load->seconds = strtod(argument, NULL);
        return true;
    case 'p':
        load->server = (pid_t)strtol(argument, NULL, 10);
        return true;
    default:
        return false;
    }
}

bool ipc_load_is_valid(const struct ipc_load *load)
{
    return load->depth > 0 && load->depth <= IPC_LOAD_MAX_DEPTH && load->keys > 0 && load->size > 0;
}

uint32_t ipc_load_next_key(struct ipc_load *load)
{
    load->random = load->random * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)load->random * load->keys) >> 32);
}
