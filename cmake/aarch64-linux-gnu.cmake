# SPDX-License-Identifier: Apache-2.0
# Cross-compiles for AArch64 with Debian's g++-aarch64-linux-gnu, against Debian's arm64 libraries in
# a folder of their own (aarch64_root in tools/setup.sh fills it), and runs tests under qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

get_filename_component(PARING_AARCH64_ROOT "${CMAKE_CURRENT_LIST_DIR}/../build/aarch64-root" ABSOLUTE)
set(CMAKE_FIND_ROOT_PATH "${PARING_AARCH64_ROOT}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
# Headers that differ by architecture (OpenSSL's configuration), and libraries that libraries need.
string(APPEND CMAKE_CXX_FLAGS_INIT " -isystem ${PARING_AARCH64_ROOT}/usr/include/aarch64-linux-gnu")
string(APPEND CMAKE_EXE_LINKER_FLAGS_INIT
  " -Wl,-rpath-link,${PARING_AARCH64_ROOT}/usr/lib/aarch64-linux-gnu")

# A CPU with all that ours use; -L is where it finds the loader and the C library.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -cpu max -L ${PARING_AARCH64_ROOT})
