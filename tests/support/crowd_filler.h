/* crowd_filler.h: which process is at the other end of a connection of the origin.
 *
 * By /proc/net/tcp (proc(5)): the peer's port names the socket's inode, and the process with that inode among
 * its descriptors holds it. Needs to be the process's user, or root. */
#ifndef CROWD_FILLER_H
#define CROWD_FILLER_H

#include "crowd_proxies.h"

/* NULL: none of them. */
struct crowd_proxy *crowd_filler_find(struct crowd_proxies *proxies, int fd);

#endif
