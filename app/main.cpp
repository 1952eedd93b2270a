#include <fcntl.h>
#include <unistd.h>

#include "app/commands.h"

namespace {

// A program that is started without standard streams would give their numbers to its data files, and write its messages
// into them.
void fill_standard_descriptors() {
    int fd = 0;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        close(fd);
    }
}

}  // namespace

int main(int argc, char** argv) {
    fill_standard_descriptors();
    return mt::app::run(argc, argv);
}
