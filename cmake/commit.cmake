# SPDX-License-Identifier: Apache-2.0
# Run at build time: cmake -DSOURCE=DIR -DOUT=FILE -P commit.cmake
# Writes FILE, a header with the commit of the clone in DIR: abbreviated, "-dirty" when tracked files
# differ from it, "unknown" outside a clone or without git. FILE is touched only when that changes,
# so that nothing is rebuilt otherwise.
cmake_minimum_required(VERSION 3.25)
set(commit unknown)
find_package(Git QUIET)
if(GIT_FOUND)
  execute_process(COMMAND ${GIT_EXECUTABLE} -C ${SOURCE} rev-parse --short=12 HEAD
    OUTPUT_VARIABLE head RESULT_VARIABLE failed OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  # A clone of its own, not one that this folder happens to lie in.
  execute_process(COMMAND ${GIT_EXECUTABLE} -C ${SOURCE} rev-parse --show-prefix
    OUTPUT_VARIABLE prefix OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(failed EQUAL 0 AND prefix STREQUAL "")
    set(commit ${head})
    execute_process(COMMAND ${GIT_EXECUTABLE} -C ${SOURCE} diff-index --quiet HEAD --
      RESULT_VARIABLE differs ERROR_QUIET)
    if(differs EQUAL 1)
      # A file that was only touched differs for diff-index until the index is refreshed.
      execute_process(COMMAND ${GIT_EXECUTABLE} -C ${SOURCE} diff --quiet HEAD --
        RESULT_VARIABLE differs ERROR_QUIET)
    endif()
    if(differs EQUAL 1)
      string(APPEND commit "-dirty")
    endif()
  endif()
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#define PARING_COMMIT_TEXT \"@commit@\"\n" @ONLY)
