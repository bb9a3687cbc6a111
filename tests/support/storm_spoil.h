/* storm_spoil.h: damage on purpose, so that a test can see that the stress test notices it. */
#ifndef STORM_SPOIL_H
#define STORM_SPOIL_H

#include "storm_fleet.h"

/* In the storm: bytes (the origin changes what it answers), break (a witness is killed with requests under
 * way). */
void spoil_storm(struct fleet *fleet);

/* At rest after it: name, vanish, segment, descriptor. */
void spoil_rest(struct fleet *fleet);
/* Undoes what would be left behind. */
void spoil_end(void);

#endif
