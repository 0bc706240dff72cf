/*
 * vfs_wait.c - who waits for whose lock.
 *
 * SQLite does not tell its VFS that it waits: a lock is refused, and then it sleeps and tries
 * again. So a sleep is a wait for whoever has refused a lock to the same process last; a refusal
 * that is not followed by one has cost nothing.
 */
#include "sim/vfs_int.h"

struct refusal {
    const void *lock; /* NULL: none since the last sleep */
    const struct sim_proc *holder;
    int64_t free_ns; /* when it was let go of; 0: not yet */
};

static struct sim_notes last; /* struct refusal */

void (*vfs_on_wait)(const struct vfs_wait *w);

static struct refusal *last_of_running(void)
{
    return sim_note(&last, sim_proc_current(), sizeof(struct refusal));
}

void vfs_wait_refused(const void *lock, const struct sim_proc *holder)
{
    *last_of_running() = (struct refusal){.lock = lock, .holder = holder};
}

void vfs_wait_let_go(const void *lock)
{
    struct refusal *r = (struct refusal *)(void *)last.p;

    for (size_t i = 0; i < last.n; i++) {
        if (r[i].lock == lock && r[i].free_ns == 0)
            r[i].free_ns = sim_now_ns();
    }
}

void vfs_wait_slept(int64_t since_ns)
{
    struct refusal *r = last_of_running();
    const struct refusal was = *r;
    int64_t free_ns = was.free_ns ? was.free_ns : sim_now_ns();

    *r = (struct refusal){0};
    if (!was.lock || !vfs_on_wait)
        return;
    vfs_on_wait(&(struct vfs_wait){
        .holder = was.holder,
        .from_ns = since_ns,
        .to_ns = sim_now_ns(),
        .held_ns = wr_max(free_ns - since_ns, (int64_t)0),
    });
}
