# SPDX-License-Identifier: Apache-2.0
# Runs at `cmake --install`: files that the program prints, where shells and man look for them. Wants
# PARING_PROGRAM, PARING_DATADIR and PARING_MANDIR, the folders relative to the prefix.

# paring_print(path argument...): what the program prints with these arguments becomes a file.
function(paring_print path)
  set(target "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/${path}")
  get_filename_component(folder "${target}" DIRECTORY)
  file(MAKE_DIRECTORY "${folder}")
  message(STATUS "Printing: ${target}")
  execute_process(COMMAND "${PARING_PROGRAM}" ${ARGN} OUTPUT_FILE "${target}" COMMAND_ERROR_IS_FATAL ANY)
  file(CHMOD "${target}" PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
endfunction()

paring_print(${PARING_DATADIR}/bash-completion/completions/paring completion bash)
paring_print(${PARING_DATADIR}/zsh/site-functions/_paring completion zsh)
paring_print(${PARING_DATADIR}/fish/vendor_completions.d/paring.fish completion fish)
paring_print(${PARING_MANDIR}/man1/paring.1 docs man)
