/* http_policy.h: the decisions of a shared HTTP cache (RFC 9111) as pure functions; time is an argument.
 *
 *   request ---> http_verdict: look up?
 *                  yes --> stored response? -- http_serving: as it is? --> http_conditional: 200 or 304
 *                  |                       not there, stale or to be validated
 *                  v                       v
 *                forward <-----------------+   validators: http_conditional
 *                  |
 *                  +-- 304 to our validators --> http_conditional: about this one? new fields
 *                  |                             http_storing: new times
 *                  +-- an error, or nothing ---> http_serving: stale instead?
 *                  +-- to an unsafe method ----> http_invalidation: what is to be removed
 *                  +-- to HEAD ----------------> http_conditional: freshens, invalidates
 *                  +-- anything else ----------> http_storing: may it be stored, and for how long?
 *                                                  http_targeted, http_sf, http_cache_control: directives
 *                                                  http_freshness: age and lifetime
 *   http_overrides has what the operator wants otherwise: of keys, freshness, cookies and methods
 *
 * Times are seconds since the Unix epoch; durations are seconds, saturated at HTTP_SECONDS_MAX (RFC 9111
 * section 1.2.2). Nothing here allocates, does I/O or keeps state. Each rule names its section in the .c.
 * Trust: fields may hold any bytes; the times are the caller's own clock. */
#ifndef LARDER_HTTP_POLICY_H
#define LARDER_HTTP_POLICY_H

#include "http_cache_control.h"
#include "http_conditional.h"
#include "http_freshness.h"
#include "http_invalidation.h"
#include "http_overrides.h"
#include "http_serving.h"
#include "http_storing.h"
#include "http_targeted.h"
#include "http_uri.h"
#include "http_verdict.h"

#endif
