# SPDX-License-Identifier: MIT
#
# How everything is compiled: the interface target tutti_settings carries language and warnings for the
# library, the command, tests and benchmarks; programs link it PRIVATE, so that none of it reaches a user.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

# The files of a pattern, looked at again at each build.
function(tutti_glob result)
	file(GLOB found CONFIGURE_DEPENDS LIST_DIRECTORIES false ${ARGN})
	set(${result} ${found} PARENT_SCOPE)
endfunction()

add_library(tutti_warnings INTERFACE)
target_compile_options(tutti_warnings INTERFACE -Wall -Wextra -Wshadow -Wstrict-prototypes
	$<$<BOOL:${TUTTI_WERROR}>:-Werror>)

add_library(tutti_settings INTERFACE)
target_compile_definitions(tutti_settings INTERFACE _GNU_SOURCE)
target_link_libraries(tutti_settings INTERFACE tutti_warnings)

# Every object file is built with the same sanitizers, the examples too.
if(TUTTI_SANITIZE)
	add_compile_options(-fsanitize=${TUTTI_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -O1)
	add_link_options(-fsanitize=${TUTTI_SANITIZE})
	if(TUTTI_SANITIZE MATCHES thread AND CMAKE_C_COMPILER_ID STREQUAL GNU)
		# gcc only says that it cannot see through fences, which is true and no error of ours.
		add_compile_options(-Wno-tsan)
	endif()
endif()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
	if(TUTTI_LSE)
		add_compile_options(-march=armv8.1-a)
	else()
		# One binary for all: it looks for the atomic instructions of armv8.1 when it starts.
		add_compile_options(-moutline-atomics)
	endif()
endif()
