/* SPDX-License-Identifier: MIT */
/* Random members killed amid live traffic, with a ledger that must balance. */
#ifndef TUTTI_TESTS_CRASH_TRAFFIC_H
#define TUTTI_TESTS_CRASH_TRAFFIC_H

extern const char traffic_name[];

void traffic_run(unsigned seconds);

#endif
