#include "app/commands.h"

int main(int argc, char** argv) {
    return mt::app::run(argc, argv);
}
