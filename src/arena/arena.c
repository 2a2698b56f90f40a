/* SPDX-License-Identifier: MIT */
/*
 * Making, joining and leaving an arena.
 *
 * The memory file is anonymous and sealed against growing and shrinking: it is sparse,
 * so its whole virtual size is mapped once, and the kernel frees it with the last
 * process that maps it. The header's state is published last; a joiner that finds
 * anything else than a ready arena of its own layout version refuses, and says why.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena/arena.h"
#include "arena/heap.h"
#include "arena/latch.h"
#include "arena/object.h"
#include "arena/recover.h"
#include "arena/station.h"

static const uint64_t GIBIBYTE = 1ULL << 30;
static const uint64_t SMALLEST = 1ULL << 20;

/* Members of this process; guarded by the mutex. */
static tutti_arena *members;
static tutti_arena *default_arena;
static pthread_mutex_t members_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t process_once = PTHREAD_ONCE_INIT;

static uint64_t round_up(uint64_t value, uint64_t step) { return (value + step - 1) / step * step; }

/* exit() and return from main announce a clean exit; a signal, exec or bare _exit does not. */
static void announce_exit(void)
{
	for (tutti_arena *arena = members; arena; arena = arena->next)
		tutti__member_announce_exit(arena);
}

/* A fork must not find our mutex locked by a thread that it does not copy. */
static void before_fork(void) { pthread_mutex_lock(&members_mutex); }

static void after_fork(void) { pthread_mutex_unlock(&members_mutex); }

static void after_fork_in_child(void)
{
	tutti__held_latch = NULL;
	after_fork();
}

void tutti_leave(void) { announce_exit(); }

static void prepare_process(void)
{
	atexit(announce_exit);
	tutti__identity_keep_reserve();
	pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

static void release_mapping(struct tutti__mapping *mapping)
{
	pthread_mutex_lock(&members_mutex);
	bool last = --mapping->users == 0;
	pthread_mutex_unlock(&members_mutex);
	if (!last)
		return;
	munmap(mapping->base, mapping->size);
	free(mapping);
}

static void free_context(tutti_arena *arena)
{
	if (arena->mapping)
		release_mapping(arena->mapping);
	if (arena->local)
		munmap(arena->local, sizeof *arena->local);
	if (arena->fd >= 0)
		close(arena->fd);
	free(arena);
}

/* A private page range that a fork finds zeroed. */
static struct tutti__local *map_local(void)
{
	struct tutti__local *local = mmap(NULL, sizeof *local, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (local == MAP_FAILED)
		return NULL;
	if (madvise(local, sizeof *local, MADV_WIPEONFORK) != 0) {
		munmap(local, sizeof *local);
		return NULL;
	}
	return local;
}

/* NULL and the error text if there is no memory for it. */
static tutti_arena *new_context(int fd, const char *member_name)
{
	tutti_arena *arena = calloc(1, sizeof *arena);
	if (!arena) {
		tutti__fail_system(ENOMEM, "cannot join the arena");
		return NULL;
	}
	arena->fd = fd;
	snprintf(arena->member_name, sizeof arena->member_name, "%s", member_name ? member_name : tutti__program_name());
	arena->local = map_local();
	if (!arena->local) {
		int error_number = errno;
		arena->fd = -1; /* stays the caller's on failure */
		free_context(arena);
		tutti__fail_system(error_number, "cannot map the arena's private pages");
		return NULL;
	}
	return arena;
}

static void use_mapping(tutti_arena *arena, struct tutti__mapping *mapping)
{
	arena->mapping = mapping;
	arena->base = mapping->base;
	arena->size = mapping->size;
}

static bool map_file(tutti_arena *arena, int fd, uint64_t size)
{
	struct tutti__mapping *mapping = calloc(1, sizeof *mapping);
	void *base = mapping ? mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0) : MAP_FAILED;
	if (base == MAP_FAILED) {
		int error_number = mapping ? errno : ENOMEM;
		free(mapping);
		errno = error_number;
		return false;
	}
	*mapping = (struct tutti__mapping){.base = base, .size = size, .users = 1};
	use_mapping(arena, mapping);
	madvise(base, size, MADV_DONTDUMP); /* a core dump would hold all of it */
	return true;
}

/*
 * A second member of this process shares the first one's mapping: half the page tables,
 * and ThreadSanitizer, which knows addresses only, sees both at work on the same ones.
 */
static bool share_mapping(tutti_arena *arena, uint32_t arena_id)
{
	pthread_mutex_lock(&members_mutex);
	tutti_arena *other = members;
	while (other && other->header->arena_id != arena_id)
		other = other->next;
	if (other) {
		other->mapping->users++;
		use_mapping(arena, other->mapping);
	}
	pthread_mutex_unlock(&members_mutex);
	return other != NULL;
}

/* Makes the memory file at the given size, or at half of it again and again. */
static tutti_err make_file(tutti_arena *arena, const char *name, uint64_t size, uint64_t least)
{
	char file_name[TUTTI__NAME_SIZE + 8];
	snprintf(file_name, sizeof file_name, "tutti:%s", name);
	for (;; size = round_up(size / 2, TUTTI__UNIT_SIZE)) {
		int error_number, fd = tutti__memory_file(file_name, size);
		if (fd >= 0 && map_file(arena, fd, size)) {
			arena->fd = fd;
			return TUTTI_OK;
		}
		error_number = errno;
		if (fd >= 0)
			close(fd);
		if (size / 2 < least)
			return tutti__fail_system(error_number,
			                          "cannot make the arena's memory file or map it (see ulimit -v, -f)");
	}
}

static void set_tables(tutti_arena *arena)
{
	arena->header = (struct tutti__header *)arena->base;
	arena->slots = tutti__at(arena, arena->header->slots);
	arena->units = tutti__at(arena, arena->header->units);
	arena->owners = tutti__at(arena, arena->header->owners);
}

static void lay_out(tutti_arena *arena, const char *name, uint64_t max_bytes)
{
	struct tutti__header *header = (struct tutti__header *)arena->base;
	header->layout_version = TUTTI__LAYOUT_VERSION;
	header->size = arena->size;
	header->unit_count = arena->size >> TUTTI__UNIT_SHIFT;
	header->slots = TUTTI__UNIT_SIZE;
	header->stations = header->slots + round_up(TUTTI__SLOT_COUNT * sizeof(struct tutti__slot), TUTTI__UNIT_SIZE);
	header->units = header->stations + round_up(TUTTI__STATIONS * sizeof(struct tutti__station), TUTTI__UNIT_SIZE);
	header->owners = header->units + round_up(header->unit_count * sizeof(struct tutti__unit), TUTTI__UNIT_SIZE);
	uint64_t owners_size = header->unit_count * TUTTI__BLOCKS_PER_UNIT * sizeof(atomic_u32);
	header->first_unit = round_up(header->owners + owners_size, TUTTI__UNIT_SIZE) >> TUTTI__UNIT_SHIFT;
	snprintf(header->name, sizeof header->name, "%s", name);
	snprintf(header->version, sizeof header->version, "%s", TUTTI_VERSION_TEXT);
	while (getrandom(&header->arena_id, sizeof header->arena_id, 0) < 0 || header->arena_id == 0)
		;
	set_tables(arena);
	tutti__heap_init(arena, max_bytes >> TUTTI__UNIT_SHIFT ? max_bytes >> TUTTI__UNIT_SHIFT : 1);
	header->magic = TUTTI__MAGIC;
	store_release(&header->state, TUTTI__ARENA_READY);
}

/* Enters the new member in the process's list. */
static tutti_err join(tutti_arena *arena, tutti_arena **result)
{
	uint32_t id = tutti__member_join(arena);
	if (id == 0) {
		free_context(arena);
		return TUTTI_EMEMBERS;
	}
	store_release(&arena->local->id, id);
	pthread_once(&process_once, prepare_process);
	pthread_mutex_lock(&members_mutex);
	arena->next = members;
	members = arena;
	pthread_mutex_unlock(&members_mutex);
	*result = arena;
	return TUTTI_OK;
}

uint32_t tutti__rejoin(tutti_arena *arena)
{
	/* Its own mutex: wiped by the fork, so never locked by a thread that was not copied. */
	tutti__mutex_lock(&arena->local->mutex);
	uint32_t id = load_acquire(&arena->local->id); /* another thread may have been faster */
	if (id == 0) {
		id = tutti__member_join(arena);
		store_release(&arena->local->id, id);
	}
	pthread_mutex_unlock(&arena->local->mutex);
	return id;
}

/* "512M", "2G", plain bytes; 0 if unset or senseless. */
static uint64_t bytes_from_environment(const char *variable)
{
	char *end;
	const char *text = getenv(variable);
	if (!text)
		return 0;
	double value = strtod(text, &end);
	if (*end == 'K' || *end == 'k')
		value *= 1024.0;
	else if (*end == 'M' || *end == 'm')
		value *= 1048576.0;
	else if (*end == 'G' || *end == 'g')
		value *= 1073741824.0;
	return value >= 1 && value < 1e18 ? (uint64_t)value : 0;
}

static const char *arena_name(const tutti_arena_options *options)
{
	const char *name = options->name ? options->name : getenv("TUTTI_ARENA_NAME");
	return name && *name ? name : tutti__program_name();
}

tutti_err tutti_arena_open(tutti_arena **result, const tutti_arena_options *options)
{
	static const tutti_arena_options defaults;
	options = options ? options : &defaults;
	const char *name = arena_name(options);
	if ((options->name && strlen(name) >= TUTTI__NAME_SIZE) || strchr(name, '/'))
		return tutti__fail(TUTTI_EINVAL, "the arena name \"%s\" must have at most %d bytes, and no slash.", name,
		                   TUTTI__NAME_SIZE - 1);
	if (options->size && options->size < SMALLEST)
		return tutti__fail(TUTTI_EINVAL, "an arena of %llu bytes is too small: at least 1 MiB.",
		                   (unsigned long long)options->size);
	uint64_t size = options->size;
	uint64_t least = size ? size : GIBIBYTE;
	if (size == 0)
		size = tutti__memory_total() > 64 * GIBIBYTE ? tutti__memory_total() : 64 * GIBIBYTE;
	else
		size += 48 * SMALLEST; /* the tables' room; virtual only */
	uint64_t max_bytes = options->max_bytes ? options->max_bytes : bytes_from_environment("TUTTI_ARENA_MAX");
	tutti_arena *arena = new_context(-1, options->member_name);
	if (!arena)
		return TUTTI_ESYSTEM;
	tutti_err err = make_file(arena, name, round_up(size + size / 16, TUTTI__UNIT_SIZE), least);
	if (err) {
		free_context(arena);
		return err;
	}
	lay_out(arena, name, max_bytes ? max_bytes : tutti__memory_allowed() / 5 * 4);
	return join(arena, result);
}

tutti_err tutti_arena_default(tutti_arena **arena)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	tutti_err err = TUTTI_OK;
	if (!__atomic_load_n(&default_arena, __ATOMIC_ACQUIRE)) {
		tutti__mutex_lock(&mutex);
		tutti_arena *made;
		if (!default_arena && (err = tutti_arena_open(&made, NULL)) == TUTTI_OK)
			__atomic_store_n(&default_arena, made, __ATOMIC_RELEASE);
		pthread_mutex_unlock(&mutex);
	}
	*arena = default_arena;
	return err;
}

bool tutti_arena_adopt(tutti_arena *arena)
{
	tutti_arena *current = __atomic_load_n(&default_arena, __ATOMIC_ACQUIRE);
	/* One that a fork has inherited and not used yet is nobody's choice. */
	if (current && current != arena && load_relaxed(&current->local->id) != 0)
		return false;
	tutti__arena_set_default(arena);
	return true;
}

tutti_arena *tutti_arena_of(tutti_handle handle)
{
	pthread_mutex_lock(&members_mutex);
	tutti_arena *arena = members;
	while (arena && arena->header->arena_id != handle.arena)
		arena = arena->next;
	pthread_mutex_unlock(&members_mutex);
	return arena;
}

void tutti__arena_set_default(tutti_arena *arena) { __atomic_store_n(&default_arena, arena, __ATOMIC_RELEASE); }

tutti_err tutti__arena_or_default(tutti_arena *given, tutti_arena **arena)
{
	*arena = given;
	return given ? TUTTI_OK : tutti_arena_default(arena);
}

static bool has_sound_tables(const struct tutti__header *header)
{
	uint64_t units = header->size >> TUTTI__UNIT_SHIFT;
	return header->unit_count == units && header->slots == TUTTI__UNIT_SIZE &&
	       header->stations >= header->slots + TUTTI__SLOT_COUNT * sizeof(struct tutti__slot) &&
	       header->units >= header->stations + TUTTI__STATIONS * sizeof(struct tutti__station) &&
	       header->owners >= header->units + units * sizeof(struct tutti__unit) && header->first_unit < units &&
	       header->first_unit << TUTTI__UNIT_SHIFT >=
	           header->owners + units * TUTTI__BLOCKS_PER_UNIT * sizeof(atomic_u32);
}

tutti_err tutti__arena_check_file(int fd, uint32_t *arena_id)
{
	struct tutti__header header;
	ssize_t size = pread(fd, &header, sizeof header, 0);
	if (size != (ssize_t)sizeof header || header.magic != TUTTI__MAGIC ||
	    load_relaxed(&header.state) != TUTTI__ARENA_READY)
		return tutti__fail(TUTTI_ENOTARENA, "descriptor %d is not an arena (or one that is still being made).", fd);
	if (header.layout_version != TUTTI__LAYOUT_VERSION)
		return tutti__fail(TUTTI_EVERSION,
		                   "arena \"%.39s\" was made by tutti %.15s with layout %u; this is tutti %s with layout %u. "
		                   "Run all members with one version.",
		                   header.name, header.version, header.layout_version, TUTTI_VERSION_TEXT,
		                   TUTTI__LAYOUT_VERSION);
	/* Cut off, or written to by others: its tables must lie within it. */
	struct stat status;
	if (fstat(fd, &status) != 0 || (uint64_t)status.st_size != header.size || !has_sound_tables(&header))
		return tutti__fail(TUTTI_ENOTARENA, "descriptor %d is a damaged or incomplete copy of an arena.", fd);
	*arena_id = header.arena_id;
	return TUTTI_OK;
}

tutti_err tutti_arena_join_fd(tutti_arena **result, int fd, const char *member_name)
{
	struct stat status;
	uint32_t arena_id = 0;
	tutti_err err = tutti__arena_check_file(fd, &arena_id);
	if (err)
		return err;
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0 || fstat(own, &status) != 0)
		return tutti__fail_system(errno, "cannot join the arena");
	tutti_arena *arena = new_context(own, member_name);
	if (!arena) {
		close(own);
		return TUTTI_ESYSTEM;
	}
	if (!share_mapping(arena, arena_id) && !map_file(arena, own, (uint64_t)status.st_size)) {
		int error_number = errno;
		free_context(arena);
		return tutti__fail_system(error_number, "cannot map the arena (see ulimit -v)");
	}
	set_tables(arena);
	return join(arena, result);
}

static void unlist(tutti_arena *arena)
{
	pthread_mutex_lock(&members_mutex);
	for (tutti_arena **link = &members; *link; link = &(*link)->next)
		if (*link == arena) {
			*link = arena->next;
			break;
		}
	pthread_mutex_unlock(&members_mutex);
}

void tutti_arena_close(tutti_arena *arena)
{
	if (!arena || arena == default_arena)
		return;
	uint32_t id = load_relaxed(&arena->local->id);
	unlist(arena);
	if (id) {
		tutti__member_announce_exit(arena);
		tutti__recover(arena, id, true);
	}
	free_context(arena);
}

int tutti_arena_fd(tutti_arena *arena) { return arena->fd; }

static void count_block(tutti_arena *arena, enum tutti__kind_number kind, uint64_t offset, uint32_t owner,
                        void *context)
{
	(void)kind, (void)owner;
	tutti_arena_usage *usage = context;
	usage->live_blocks++;
	usage->live_bytes += tutti__block_size(arena, offset);
}

tutti_err tutti_arena_usage_read(tutti_arena *given, tutti_arena_usage *usage)
{
	tutti_arena *arena;
	tutti_err err = tutti__arena_or_default(given, &arena);
	if (err)
		return err;
	if (tutti__enter(arena) == 0)
		return TUTTI_EMEMBERS;
	*usage = (tutti_arena_usage){
		.max_bytes = arena->header->max_units << TUTTI__UNIT_SHIFT,
		.touched_bytes = load_relaxed(&arena->header->heap.touched_units) << TUTTI__UNIT_SHIFT,
	};
	tutti__blocks_visit(arena, count_block, usage);
	for (uint32_t number = 1; number < TUTTI__SLOT_COUNT; number++) {
		unsigned status = tutti__state_status(load_acquire(&arena->slots[number].state));
		usage->members += status == TUTTI__SLOT_ALIVE || status == TUTTI__SLOT_CLEAN;
	}
	return TUTTI_OK;
}

unsigned tutti_arena_sweep(tutti_arena *given)
{
	tutti_arena *arena;
	return tutti__arena_or_default(given, &arena) == TUTTI_OK ? tutti__sweep(arena) : 0;
}
