/* SPDX-License-Identifier: MIT */
/*
 * Tests only: bugs that tests/crash must find. Built with -DTUTTI_SEEDED_BUG=3 the library
 * has the third of them; without it none, and the compiler drops the conditions.
 *
 *   1  a block is handed to a queue without a note
 *   2  a message is committed before its payload is written
 *   3  the note of a block is cleared before the commit
 *   4  a segment's end is committed before the next segment is linked
 *   5  a drained segment is freed while tail names it
 *   6  a received block becomes the getter's after the commit of the get
 *   7  the recovery of a queue does not redo the counts
 *   8  the recovery of a queue does not release the getters' latch
 *   9  the recovery leaves a pending block with the queue
 *  10  the sweep comes before the objects are recovered
 *  11  the recovery does not clear the words of dead holders
 *  12  the recovery does not keep a chained block of holder words
 *  13  an abandoned lock is reported as free
 *  14  a clean exit is taken for a death
 *  15  a slot is given free without a new generation
 *  16  a recoverer that was killed has no successor
 *  17  who waits for a latch does not look whether its holder lives
 *  18  a free run is shortened before the rest is recorded
 *  19  the heap's counts are not made anew
 *  20  a destroyed queue forgets a segment before it is the destroyer's
 *  21  the recovery of a put moves the tail before it clears the note
 *  38  who polls does not look for rings that were never made
 *  39  the recovery leaves a dead poller's station taken
 *  40  a station is counted as used after it is taken
 *  41  the recovery gives the stations of the living back, too
 */
#ifndef TUTTI_OS_SEEDED_BUG_H
#define TUTTI_OS_SEEDED_BUG_H

#ifndef TUTTI_SEEDED_BUG
#define TUTTI_SEEDED_BUG 0
#endif

#define TUTTI__BUG(number) (TUTTI_SEEDED_BUG == (number))

#endif
