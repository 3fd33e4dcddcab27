/* The few system calls that the static programs need, and their entry point, without a C library. */
#if defined(__x86_64__)
enum { SYS_write = 1, SYS_uname = 63, SYS_exit = 60, SYS_open = 2, SYS_close = 3,
       SYS_read = 0, SYS_mount = 165, SYS_pause = 34, SYS_access = 21 };
__asm__(".globl _start\n_start: mov %rsp,%rdi\n and $-16,%rsp\n call start\n");
static long call(long n, long a, long b, long c, long d, long e) {
  long r; register long r10 __asm__("r10") = d; register long r8 __asm__("r8") = e;
  __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
  return r;
}
#elif defined(__aarch64__) || defined(__riscv)
enum { SYS_write = 64, SYS_uname = 160, SYS_exit = 93, SYS_openat = 56, SYS_close = 57,
       SYS_read = 63, SYS_mount = 40, SYS_ppoll = 73 };
#if defined(__aarch64__)
__asm__(".globl _start\n_start: mov x0,sp\n bl start\n");
static long call(long n, long a, long b, long c, long d, long e) {
  register long x8 __asm__("x8") = n; register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b; register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d; register long x4 __asm__("x4") = e;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
  return x0;
}
#else
__asm__(".globl _start\n_start: mv a0,sp\n call start\n");
static long call(long n, long a, long b, long c, long d, long e) {
  register long a7 __asm__("a7") = n; register long a0 __asm__("a0") = a;
  register long a1 __asm__("a1") = b; register long a2 __asm__("a2") = c;
  register long a3 __asm__("a3") = d; register long a4 __asm__("a4") = e;
  __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4) : "memory");
  return a0;
}
#endif
#elif defined(__arm__)
enum { SYS_write = 4, SYS_uname = 122, SYS_exit = 1 };
__asm__(".globl _start\n_start: mov r0,sp\n bl start\n");
static long call(long n, long a, long b, long c, long d, long e) {
  register long r7 __asm__("r7") = n; register long r0 __asm__("r0") = a;
  register long r1 __asm__("r1") = b; register long r2 __asm__("r2") = c;
  register long r3 __asm__("r3") = d; register long r4 __asm__("r4") = e;
  __asm__ volatile("svc 0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2), "r"(r3), "r"(r4) : "memory");
  return r0;
}
#endif

static long length(const char *text) {
  long n = 0;
  while (text[n]) n++;
  return n;
}

static void line(int fd, const char *text) {
  call(SYS_write, fd, (long)text, length(text), 0, 0);
  call(SYS_write, fd, (long)"\n", 1, 0, 0);
}

static void leave(int status) {
  for (;;) call(SYS_exit, status, 0, 0, 0, 0);
}
