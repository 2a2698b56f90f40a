/* SPDX-License-Identifier: MIT */
#ifndef TUTTI_OS_IDENTITY_H
#define TUTTI_OS_IDENTITY_H

#include "os/os.h"

bool tutti__identity_is_alive(const struct tutti__identity *identity);

#endif
