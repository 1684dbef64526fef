/* A driver's library whose GPUs are written in a text file (environment variable FAKE_NVML), read anew at each call:
 *
 *   init 18                                            what nvmlInit returns (18: library and driver do not fit)
 *   hang 60                                            seconds that asking for the number of GPUs takes
 *   old                                                a driver that does not know the newest calls
 *   gpu   GPU-a 81920 80000 37 52 310000 700000 0 H100   uuid, MiB in all, MiB free, %, degrees, mW, limit in mW, MIG mode, name
 *   slice 0 MIG-a 20480 20000                          of the GPU with that number: uuid, MiB in all, MiB free
 *   held  GPU-a 123 5000 /usr/bin/python               uuid, pid, MiB (-1: not told), program
 *
 * A negative number stands for "not supported".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, BAD_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_FUNCTION = 13, LOST = 15 };

typedef struct { char uuid[96], name[96]; long total, free, load, heat, power, limit, mig; int parent; } Gpu;
typedef struct { char uuid[96], program[256]; long pid, mib; } Held;
typedef struct { unsigned pid; unsigned long long used; unsigned a, b; } Process;
typedef struct { unsigned long long total, free, used; } Memory;

static Gpu gpus[32];
static Held held[64];
static int n_gpus, n_held, init_code, old;
static unsigned hang;

static void load(void) {
    char line[512];
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    n_gpus = n_held = init_code = old = 0;
    hang = 0;
    while (file && fgets(line, sizeof line, file)) {
        Gpu *g = &gpus[n_gpus];
        Held *h = &held[n_held];
        memset(g, 0, sizeof *g);
        g->parent = -1;
        if (sscanf(line, "gpu %95s %ld %ld %ld %ld %ld %ld %ld %95[^\n]", g->uuid, &g->total, &g->free, &g->load, &g->heat,
                   &g->power, &g->limit, &g->mig, g->name) == 9) n_gpus++;
        else if (sscanf(line, "slice %d %95s %ld %ld", &g->parent, g->uuid, &g->total, &g->free) == 4) {
            g->load = g->heat = g->power = g->limit = g->mig = -1;
            strcpy(g->name, "slice");
            n_gpus++;
        } else if (sscanf(line, "held %95s %ld %ld %255[^\n]", h->uuid, &h->pid, &h->mib, h->program) == 4) n_held++;
        else if (sscanf(line, "init %d", &init_code) == 1 || sscanf(line, "hang %u", &hang) == 1) continue;
        else if (!strncmp(line, "old", 3)) old = 1;
    }
    if (file) fclose(file);
}

static Gpu *whole(unsigned index) {
    for (int i = 0; i < n_gpus; i++)
        if (gpus[i].parent < 0 && index-- == 0) return &gpus[i];
    return NULL;
}

static Gpu *of(void *handle) { load(); return &gpus[(size_t)handle - 1]; }
static int put(long value, unsigned *out) { if (value < 0) return NOT_SUPPORTED; *out = (unsigned)value; return OK; }

int nvmlInitWithFlags(unsigned flags) { (void)flags; load(); return init_code; }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { (void)code; return "error of the fake"; }
int nvmlSystemGetDriverVersion(char *out, unsigned size) { snprintf(out, size, "570.86.15"); return OK; }

int nvmlDeviceGetCount_v2(unsigned *count) {
    load();
    if (hang) sleep(hang);
    *count = 0;
    while (whole(*count)) ++*count;
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    load();
    Gpu *gpu = whole(index);
    if (!gpu) return BAD_ARGUMENT;
    if (!strcmp(gpu->name, "lost")) return LOST;
    *handle = (void *)(size_t)(gpu - gpus + 1);
    return OK;
}

int nvmlDeviceGetName(void *handle, char *out, unsigned size) { snprintf(out, size, "%s", of(handle)->name); return OK; }
int nvmlDeviceGetUUID(void *handle, char *out, unsigned size) { snprintf(out, size, "%s", of(handle)->uuid); return OK; }
int nvmlDeviceGetTemperature(void *handle, unsigned sensor, unsigned *out) { (void)sensor; return put(of(handle)->heat, out); }
int nvmlDeviceGetPowerUsage(void *handle, unsigned *out) { return put(of(handle)->power, out); }
int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *out) { return put(of(handle)->limit, out); }
int nvmlDeviceGetUtilizationRates(void *handle, unsigned *out) { out[1] = 0; return put(of(handle)->load, out); }
int nvmlDeviceGetMigMode(void *handle, unsigned *now, unsigned *later) { *later = 0; return put(of(handle)->mig, now); }
int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *out) { (void)handle; *out = 7; return OK; }

int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned number, void **out) {
    load();
    int seen = 0, parent = -1;
    for (size_t i = 0; i < (size_t)handle; i++) parent += gpus[i].parent < 0;
    for (int i = 0; i < n_gpus; i++)
        if (gpus[i].parent == parent && (unsigned)seen++ == number) { *out = (void *)(size_t)(i + 1); return OK; }
    return NOT_FOUND;
}

int nvmlDeviceGetMemoryInfo(void *handle, Memory *memory) {
    Gpu *gpu = of(handle);
    if (gpu->total < 0) return NOT_SUPPORTED;
    memory->total = (unsigned long long)gpu->total << 20;
    memory->free = (unsigned long long)gpu->free << 20;
    memory->used = memory->total - memory->free;
    return OK;
}

static int processes(void *handle, unsigned *count, Process *out) {
    Gpu *gpu = of(handle);
    unsigned room = *count, n = 0;
    for (int i = 0; i < n_held; i++)
        if (!strcmp(held[i].uuid, gpu->uuid)) {
            if (out && n < room) {
                out[n].pid = (unsigned)held[i].pid;
                out[n].used = held[i].mib < 0 ? ~0ULL : (unsigned long long)held[i].mib << 20;
            }
            n++;
        }
    *count = n;
    return n > room || (n && !out) ? TOO_SMALL : OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *h, unsigned *n, Process *out) { load(); return old ? NO_FUNCTION : processes(h, n, out); }
int nvmlDeviceGetComputeRunningProcesses_v2(void *h, unsigned *n, Process *out) { return processes(h, n, out); }
int nvmlDeviceGetGraphicsRunningProcesses_v3(void *h, unsigned *n, Process *out) { return processes(h, n, out); }

int nvmlSystemGetProcessName(unsigned pid, char *out, unsigned size) {
    load();
    for (int i = 0; i < n_held; i++)
        if (held[i].pid == (long)pid) { snprintf(out, size, "%s", held[i].program); return OK; }
    return NOT_FOUND;
}
