# SPDX-License-Identifier: MIT
#
# The library, once shared and once static, from the same object files: `tutti` and `tutti_static`.
# It needs libc alone.

tutti_glob(tutti_sources src/*.c src/*/*.c)
tutti_glob(tutti_headers include/tutti/*.h)

# Compiles the library's sources as the object library `name`; further arguments are definitions.
function(tutti_add_objects name)
	add_library(${name} OBJECT ${tutti_sources})
	set_target_properties(${name} PROPERTIES C_VISIBILITY_PRESET hidden POSITION_INDEPENDENT_CODE ON)
	# initial-exec: thread-local data costs one instruction and no call, also in the shared library.
	target_compile_options(${name} PRIVATE -ftls-model=initial-exec)
	target_compile_definitions(${name} PRIVATE ${ARGN})
	target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
	target_link_libraries(${name} PRIVATE tutti_settings Threads::Threads)
endfunction()

function(tutti_add_public target)
	target_include_directories(${target} PUBLIC
		$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
	target_link_libraries(${target} PUBLIC Threads::Threads)
	set_target_properties(${target} PROPERTIES OUTPUT_NAME tutti LINKER_LANGUAGE C
		ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
endfunction()

# For tests: a static library of the same sources with other definitions, such as TUTTI_SEEDED_BUG=3.
function(tutti_add_variant name)
	tutti_add_objects(${name}_objects ${ARGN})
	add_library(${name} STATIC EXCLUDE_FROM_ALL $<TARGET_OBJECTS:${name}_objects>)
	set_target_properties(${name}_objects PROPERTIES EXCLUDE_FROM_ALL ON)
	target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR}/include)
	target_link_libraries(${name} PUBLIC Threads::Threads)
	set_target_properties(${name} PROPERTIES LINKER_LANGUAGE C ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/variants)
endfunction()

if(tutti_sources)
	set(definitions)
	if(NOT TUTTI_SEEDED_BUG STREQUAL "")
		message(WARNING "TUTTI_SEEDED_BUG=${TUTTI_SEEDED_BUG}: this library is wrong on purpose, for the crash ring only")
		set(definitions TUTTI_SEEDED_BUG=${TUTTI_SEEDED_BUG})
	endif()
	tutti_add_objects(tutti_objects ${definitions})

	add_library(tutti SHARED $<TARGET_OBJECTS:tutti_objects>)
	tutti_add_public(tutti)
	set_target_properties(tutti PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0)
	# -z now: no symbol is looked up later, in a forked child or in the middle of a recovery.
	target_link_options(tutti PRIVATE -Wl,-z,now -Wl,-z,relro)
	if(NOT TUTTI_SANITIZE)
		target_link_options(tutti PRIVATE -Wl,--no-undefined)
	endif()

	add_library(tutti_static STATIC $<TARGET_OBJECTS:tutti_objects>)
	tutti_add_public(tutti_static)

	# The names under which an installed Tutti is found hold inside the build as well.
	add_library(tutti::tutti ALIAS tutti)
	add_library(tutti::tutti_static ALIAS tutti_static)
endif()
