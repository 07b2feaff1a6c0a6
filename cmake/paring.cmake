# SPDX-License-Identifier: Apache-2.0
# Build functions. A module's CMakeLists.txt is normally the one line `paring_module(name)`.

# Flags that every object of ours gets. Common code targets x86-64-v2 (or armv8-a): anything newer
# lives in an ISA folder that is entered only after a run-time check.
add_library(paring_flags INTERFACE)
target_include_directories(paring_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(paring_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion
  -Wno-sign-conversion -fno-math-errno -ffp-contract=off)
# Kept apart from paring_flags: an ISA target must not get it, the last -march on a line wins.
add_library(paring_baseline INTERFACE)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  target_compile_options(paring_baseline INTERFACE -march=x86-64-v2)
endif()
if(PARING_WERROR)
  target_compile_options(paring_flags INTERFACE -Werror)
endif()
if(PARING_SANITIZE)
  target_compile_options(paring_flags INTERFACE -fsanitize=${PARING_SANITIZE}
    -fno-sanitize-recover=all -fno-omit-frame-pointer)
  if(PARING_SANITIZE MATCHES "undefined")
    # AddressSanitizer finds by itself what these look for, and they double the time of compiling.
    target_compile_options(paring_flags INTERFACE -fno-sanitize=null,object-size,pointer-overflow)
  endif()
  target_link_options(paring_flags INTERFACE -fsanitize=${PARING_SANITIZE})
endif()

# Reads `module : dep dep` lines into PARING_MODULES and PARING_DEPS_<module>.
function(paring_read_modules file)
  file(STRINGS ${file} lines REGEX "^[a-z]")
  set(modules "")
  foreach(line IN LISTS lines)
    string(REGEX MATCH "^([a-z]+) *:(.*)$" _ "${line}")
    set(name ${CMAKE_MATCH_1})
    string(STRIP "${CMAKE_MATCH_2}" deps)
    string(REPLACE " " ";" deps "${deps}")
    foreach(dep IN LISTS deps)
      if(NOT dep IN_LIST modules)
        message(FATAL_ERROR "modules.txt: ${name} names ${dep}, which is not above it")
      endif()
    endforeach()
    list(APPEND modules ${name})
    set(PARING_DEPS_${name} "${deps}" PARENT_SCOPE)
  endforeach()
  set(PARING_MODULES "${modules}" PARENT_SCOPE)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
endfunction()

# What is tested is the library: tests compile in a third of the time without optimization and checks.
add_library(paring_test_warnings INTERFACE)
target_compile_options(paring_test_warnings INTERFACE -Wno-conversion)
add_library(paring_test_flags INTERFACE)
target_compile_options(paring_test_flags INTERFACE ${PARING_TEST_FLAGS})

# Every program of unit tests but the command line's, whose commands take a sixth of the time to
# compile and are run by system tests.
add_custom_target(library_tests)

# Modules that compute nothing: built without optimization where only their correctness is looked at.
set(PARING_COLD_MODULES config api net store hub monitor advise improve serve cli)
# Tests whose own code computes for long (oracles, emulated instructions): optimized like the rest.
set(PARING_HOT_TESTS tensor quant kernels text cost)

# paring_module(name [LIBS lib...] [EXCLUDE regex...]): static library paring_<name> from *.cc in the
# folder and in its sub-folders, and the test program <name>_test from *_test.cc. EXCLUDE names sources
# that are built otherwise (ISA folders) by their path in the module, so that the clone may lie anywhere.
function(paring_module name)
  cmake_parse_arguments(ARG "" "" "LIBS;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS *.cc)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  foreach(pattern IN LISTS ARG_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "${pattern}")
  endforeach()
  set(links paring_flags fmt::fmt Threads::Threads ${ARG_LIBS})
  foreach(dep IN LISTS PARING_DEPS_${name})
    list(APPEND links paring_${dep})
  endforeach()
  add_library(paring_${name} STATIC ${sources})
  set_target_properties(paring_${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(paring_${name} PUBLIC ${links} PRIVATE paring_baseline)
  if(PARING_SANITIZE AND name IN_LIST PARING_COLD_MODULES)
    target_compile_options(paring_${name} PRIVATE -O0)
  endif()
  if(PARING_TESTS AND tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE paring_${name} paring_baseline GTest::gtest_main)
    target_compile_definitions(${name}_test PRIVATE PARING_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    if(NOT name STREQUAL "cli")
      add_dependencies(library_tests ${name}_test)
    endif()
    # Last, since the flags that they undo come from libraries too.
    target_link_libraries(${name}_test PRIVATE paring_test_warnings)
    if(NOT name IN_LIST PARING_HOT_TESTS)
      target_link_libraries(${name}_test PRIVATE paring_test_flags)
    endif()
    # WORKING_DIRECTORY is the source root so that tests find tests/data.
    add_test(NAME ${name}_test COMMAND ${name}_test WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${name}_test PROPERTIES LABELS unit TIMEOUT 900)
    if(CMAKE_CROSSCOMPILING_EMULATOR)
      # A death test starts its program anew, which the kernel refuses for another architecture; and
      # how fast an emulator computes means nothing.
      set_tests_properties(${name}_test PROPERTIES ENVIRONMENT
        "GTEST_FILTER=-*DeathTest.*:ProbeTables.VectorsBeatScalars*:Probes.FiguresAreSane*")
    endif()
  endif()
endfunction()

# paring_isa_sources(module isa flags...): objects of src/<module>/<isa>/ built with their own flags
# and linked into the module. Everything in them but the kernel table must have internal linkage
# (tests/check_isa_symbols.py).
function(paring_isa_sources module isa)
  file(GLOB sources CONFIGURE_DEPENDS ${isa}/*.cc)
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  add_library(paring_${module}_${isa} OBJECT ${sources})
  target_link_libraries(paring_${module}_${isa} PRIVATE paring_flags fmt::fmt)
  target_compile_options(paring_${module}_${isa} PRIVATE ${ARGN})
  if(PARING_SANITIZE)
    # Instrumented unrolled tiles take the optimizer minutes at -O3 (the last -O wins), and with each
    # check written out instead of called.
    target_compile_options(paring_${module}_${isa} PRIVATE -O1)
    if(PARING_SANITIZE MATCHES "address" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      target_compile_options(paring_${module}_${isa} PRIVATE
        --param=asan-instrumentation-with-call-threshold=0)
    endif()
  endif()
  target_sources(paring_${module} PRIVATE $<TARGET_OBJECTS:paring_${module}_${isa}>)
endfunction()
