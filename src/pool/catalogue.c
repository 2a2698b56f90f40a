/* SPDX-License-Identifier: MIT */
/* What all workers of a pool read, put there once. Bytes and deaths: layout.h. */
#include <string.h>

#include <tutti/worker.h>

#include "pool/pool.h"

static tutti_err add(tutti_pool *pool, tutti_view bytes, uint32_t number)
{
	uint64_t parcel;
	tutti_err err = tutti__parcel_create(pool->arena, NULL, 0, bytes.size, 0, INT64_MAX, &parcel);
	if (err)
		return err;
	if (bytes.size)
		memcpy(tutti__parcel_payload(pool->arena, parcel), bytes.data, bytes.size);
	store_release(&pool->shared->catalogue[number], parcel);
	tutti__block_set_owner(pool->arena, parcel, TUTTI__SHARED);
	store_release(&pool->shared->catalogue_count, number + 1);
	return TUTTI_OK;
}

tutti_err tutti_pool_publish(tutti_pool *pool, tutti_view bytes, uint32_t *number)
{
	tutti_err err = TUTTI_OK;
	if (tutti__use(&pool->reference, &err) == 0)
		return err;
	if (tutti__pool_is_closed(pool))
		return tutti__pool_fail_closed(pool);
	tutti__pool_hold(pool);
	tutti__mutex_lock(&pool->mutex);
	*number = load_relaxed(&pool->shared->catalogue_count);
	err = *number < TUTTI__CATALOGUE_MAX
	          ? add(pool, bytes, *number)
	          : tutti__fail(TUTTI_EFULL,
	                        "pool \"%s\" has published %d things, and no room for more. Send it with each job.",
	                        pool->shared->object.name, TUTTI__CATALOGUE_MAX);
	pthread_mutex_unlock(&pool->mutex);
	tutti__pool_release(pool);
	return err;
}

void tutti__catalogue_recover(tutti_arena *arena, struct tutti__pool *pool, uint32_t dead)
{
	uint32_t next = load_acquire(&pool->catalogue_count);
	uint64_t parcel = next < TUTTI__CATALOGUE_MAX ? load_acquire(&pool->catalogue[next]) : 0;
	if (parcel && load_acquire(tutti__block_owner(arena, parcel)) == dead)
		store_release(&pool->catalogue[next], 0);
}

void tutti__catalogue_drop(tutti_arena *arena, atomic_u64 *place)
{
	uint64_t parcel = load_acquire(place);
	/* One that is not SHARED is its dead maker's, or the sweep's. */
	bool is_ours = parcel && cas_u32(tutti__block_owner(arena, parcel), TUTTI__SHARED, load_relaxed(&arena->local->id));
	store_release(place, 0);
	if (is_ours)
		tutti__parcel_free(arena, parcel);
}
