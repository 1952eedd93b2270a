#pragma once

namespace mt::app {

/// Runs the program with the words of its command line; the exit status (DESIGN 4.2).
int run(int argc, char** argv);

}  // namespace mt::app
