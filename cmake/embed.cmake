# SPDX-License-Identifier: Apache-2.0
# paring_embed(target name file): links a file's bytes into a target. The assembler reads the file, so that
# a large text costs no compile time. The generated header embed_<name>.h declares
#   paring_embed_<name>[]          the bytes, then a zero
#   paring_embed_<name>_size       their count, without the zero
#   paring_embed_<name>_sha256     their hash, in hexadecimal
function(paring_embed target name file)
  get_filename_component(path ${file} ABSOLUTE)
  file(SIZE ${path} EMBED_SIZE)
  file(SHA256 ${path} EMBED_SHA256)
  set(EMBED_NAME ${name})
  set(EMBED_PATH ${path})
  # The size and the hash are written at configure time, so a changed file configures again.
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/embed)
  configure_file(${CMAKE_SOURCE_DIR}/cmake/embed.cc.in ${folder}/embed_${name}.cc @ONLY)
  configure_file(${CMAKE_SOURCE_DIR}/cmake/embed.h.in ${folder}/embed_${name}.h @ONLY)
  set_source_files_properties(${folder}/embed_${name}.cc PROPERTIES OBJECT_DEPENDS ${path})
  target_sources(${target} PRIVATE ${folder}/embed_${name}.cc)
  target_include_directories(${target} PRIVATE ${folder})
endfunction()
