/* tenant_option.h: a tenant's settings as text.
 *
 *     NAME:SETTING=VALUE,SETTING=VALUE...      news:reserve=64M,limit=256M,weight=2,policy=s3fifo
 *
 * What is not said has its default (TENANT_DEFAULTS). Whether settings agree with each other and with the
 * memory is for tenants_check(). */
#ifndef LARDER_TENANT_OPTION_H
#define LARDER_TENANT_OPTION_H

#include "tenant.h"

/* 0, or -EINVAL and why. */
int tenant_option_parse(struct tenant_config *config, const char *text, char *problem, size_t problem_size);
/* One setting; for whoever reads them from elsewhere. */
int tenant_option_set(struct tenant_settings *settings, const char *name, const char *value, char *problem,
                      size_t problem_size);

#endif
