/* Prints the machine's name as uname(2) gives it, then its own arguments, a line each.
   Run under an emulator it shows whether binfmt_misc works and keeps argv[0]. */
#include "start.h"

static char names[6][65];

__attribute__((used)) void start(long *stack) {
  char **argv = (char **)(stack + 1);
  call(SYS_uname, (long)names, 0, 0, 0, 0);
  line(1, names[4]);
  for (long i = 0; i < stack[0]; i++) line(1, argv[i]);
  leave(0);
}
