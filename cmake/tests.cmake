# SPDX-License-Identifier: MIT
#
# The C test rings. They link the static library, so that internal functions can be called and nothing is
# exported for their sake.

# A test program: sees the internal headers and those beside it.
function(tutti_add_test_program name folder)
	add_executable(${name} ${ARGN})
	target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests/${folder})
	target_link_libraries(${name} PRIVATE tutti_settings tutti_static)
	set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
endfunction()

# unit: one cmocka program for each test_*.c; the other files are shared by all of them.
find_path(CMOCKA_INCLUDE_DIR cmocka.h)
find_library(CMOCKA_LIBRARY cmocka)
tutti_glob(unit_tests tests/unit/test_*.c)
tutti_glob(unit_sources tests/unit/*.c)
if(unit_tests AND CMOCKA_INCLUDE_DIR AND CMOCKA_LIBRARY)
	set(unit_helpers ${unit_sources})
	list(REMOVE_ITEM unit_helpers ${unit_tests})
	foreach(source IN LISTS unit_tests)
		cmake_path(GET source STEM name)
		tutti_add_test_program(${name} unit ${source} ${unit_helpers})
		target_include_directories(${name} SYSTEM PRIVATE ${CMOCKA_INCLUDE_DIR})
		target_link_libraries(${name} PRIVATE ${CMOCKA_LIBRARY})
		set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/unit)
		add_test(NAME ${name} COMMAND ${name})
		set_tests_properties(${name} PROPERTIES TIMEOUT 60 LABELS unit)
	endforeach()
elseif(unit_tests)
	message(STATUS "cmocka was not found: tests/unit is left out (package libcmocka-dev)")
endif()

# crash, chaos, wakes: a folder's own CMakeLists.txt, or one program of all its files.
foreach(ring IN ITEMS crash:crash_ring chaos:chaos wakes:wakes)
	string(REPLACE ":" ";" ring ${ring})
	list(GET ring 0 folder)
	list(GET ring 1 program)
	tutti_glob(sources tests/${folder}/*.c)
	if(EXISTS ${PROJECT_SOURCE_DIR}/tests/${folder}/CMakeLists.txt)
		add_subdirectory(tests/${folder})
	elseif(sources)
		tutti_add_test_program(${program} ${folder} ${sources})
	endif()
endforeach()
