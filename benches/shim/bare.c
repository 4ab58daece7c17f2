/* Fork, exec, wait: the least that stands between a command and whoever started it. scripts/bench builds it, static. */
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char **words) {
  int status = 0;
  if (count < 2) return 2;
  pid_t child = fork();
  if (child == 0) {
    execvp(words[1], words + 1);
    _exit(127);
  }
  if (child < 0 || waitpid(child, &status, 0) < 0) return 1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
