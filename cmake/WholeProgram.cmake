# The programs that users run are optimised across files: a request passes through a dozen of them, and what is called
# there stands in few pages then. Libraries keep ordinary code as well, for tests and tools, which are linked as ever.
#     larder_whole_program_library(TARGET...)   is part of such a program
#     larder_whole_program(TARGET)              is one
include(CheckIPOSupported)
check_ipo_supported(RESULT LARDER_WHOLE_PROGRAM LANGUAGES C OUTPUT ignored)
if(NOT CMAKE_C_COMPILER_ID STREQUAL "GNU" OR LARDER_SANITIZE OR CMAKE_BUILD_TYPE STREQUAL "Debug")
  set(LARDER_WHOLE_PROGRAM OFF)
endif()
if(LARDER_WHOLE_PROGRAM)
  add_link_options(-fno-use-linker-plugin) # everybody else takes the ordinary code
endif()

function(larder_whole_program_library)
  foreach(target ${ARGV})
    if(LARDER_WHOLE_PROGRAM)
      target_compile_options(${target} PRIVATE -flto=auto -ffat-lto-objects)
    endif()
  endforeach()
endfunction()

function(larder_whole_program target)
  larder_whole_program_library(${target})
  if(LARDER_WHOLE_PROGRAM)
    target_link_options(${target} PRIVATE -flto=auto -fuse-linker-plugin)
  endif()
endfunction()
