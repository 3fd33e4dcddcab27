/* keeper FILE: registers each line of FILE with binfmt_misc unless its name is there already, then
   waits for ever. It is what runs in the container that registers emulators again after a reboot
   where there is no systemd. A line is ":NAME:M:...", as the kernel reads it. */
#include "start.h"

static const char table[] = "/proc/sys/fs/binfmt_misc";
static char text[65536], path[256];

static long open_file(const char *name, long flags) {
#if defined(__x86_64__)
  return call(SYS_open, (long)name, flags, 0, 0, 0);
#else
  return call(SYS_openat, -100, (long)name, flags, 0, 0);
#endif
}

static const char *entry_path(const char *rule) {
  long n = sizeof table - 1, i = 0;
  for (; i < n; i++) path[i] = table[i];
  path[i++] = '/';
  for (rule++; *rule && *rule != ':' && i < (long)sizeof path - 1;) path[i++] = *rule++;
  path[i] = 0;
  return path;
}

static int add(char *rule, long size) {
  long fd = open_file(entry_path(rule), 0);
  if (fd >= 0) {
    call(SYS_close, fd, 0, 0, 0, 0);
    return 0;
  }
  fd = open_file("/proc/sys/fs/binfmt_misc/register", 1);
  if (fd < 0) return 1;
  long done = call(SYS_write, fd, (long)rule, size, 0, 0);
  call(SYS_close, fd, 0, 0, 0, 0);
  return done != size;
}

__attribute__((used)) void start(long *stack) {
  char **argv = (char **)(stack + 1);
  if (stack[0] != 2) leave(2);
  call(SYS_mount, (long)"binfmt_misc", (long)table, (long)"binfmt_misc", 0, 0);
  long fd = open_file(argv[1], 0);
  long size = fd < 0 ? -1 : call(SYS_read, fd, (long)text, sizeof text - 1, 0, 0);
  if (size < 0) leave(1);
  for (long from = 0, at = 0; at < size; at++) {
    if (text[at] != '\n') continue;
    text[at] = 0;
    if (add(text + from, at - from)) {
      line(2, "cannot register:");
      line(2, text + from);
      leave(1);
    }
    line(1, path);
    from = at + 1;
  }
  for (;;) {
#if defined(__x86_64__)
    call(SYS_pause, 0, 0, 0, 0, 0);
#else
    call(SYS_ppoll, 0, 0, 0, 0, 0);
#endif
  }
}
