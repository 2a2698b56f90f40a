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
 *  22  who does a once lets go before it says that it is done
 *  23  the recovery does not keep a chained block of shares
 *  24  what is pending in a semaphore's word is dropped before it is in the share
 *  25  a permit is taken from the dead before it is the adopter's
 *  26  the recovery of a semaphore does not finish a settling
 *  27  a writer that claims a tainted lock takes the taint out of the word
 *  28  the recovery of a condition does not pass a notification on
 *  29  a waiter gives its notification up before it holds the lock again
 *  30  a party killed while it runs the barrier's action breaks nothing
 *  31  a party is counted before its entry says that it waits
 *  32  an entry of a roster is free before it is idle
 *  33  the recovery looks at parcels before the queues are in order
 *  34  an open item is linked without a note
 *  35  a parcel that is freed does not let the carried objects go
 *  36  the note of an item's end is cleared before the end is counted
 *  37  a dying end of a pipe lets its queue go before it is shut
 *  38  who polls does not look for rings that were never made
 *  39  the recovery leaves a dead poller's station taken
 *  40  a station is counted as used after it is taken
 *  41  the recovery gives the stations of the living back, too
 *  42  who sleeps has no tick
 *  43  a worker's claim is noted after its job has left the queue
 *  44  who waits for a semaphore does not see that the dead had permits
 *  45  who waits for a message does not see that the queue was shut
 *  46  who waits for an item does not see that one was given back
 *  47  who waits for a lock does not see that it is abandoned
 *  48  a job that is done does not say that its worker was to free it
 *  49  a dead worker's claim is cleared before its job is settled
 *  50  a worker that is to be killed for a job is not kept from finishing it
 *  51  the recovery does not count anew what was said to be done ahead
 *  52  a job of a priority leaves its queue without being claimed
 *  53  a job that was cancelled while it ran is run again
 */
#ifndef TUTTI_OS_SEEDED_BUG_H
#define TUTTI_OS_SEEDED_BUG_H

#ifndef TUTTI_SEEDED_BUG
#define TUTTI_SEEDED_BUG 0
#endif

#define TUTTI__BUG(number) (TUTTI_SEEDED_BUG == (number))

#endif
