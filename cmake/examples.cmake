# SPDX-License-Identifier: MIT
#
# Examples are compiled as a user would: public headers, the shared library, GNU C as the compilers' default,
# and no definition of ours. One that needs _GNU_SOURCE defines it itself.

tutti_glob(examples examples/c/*.c)
foreach(source IN LISTS examples)
	cmake_path(GET source STEM name)
	add_executable(example_${name} ${source})
	set_target_properties(example_${name} PROPERTIES OUTPUT_NAME ${name} C_EXTENSIONS ON
		RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/examples/c)
	target_link_libraries(example_${name} PRIVATE tutti_warnings tutti)
endforeach()
