# SPDX-License-Identifier: MIT
#
# The Python extension tutti._tutti, built only for a wheel (scikit-build-core defines SKBUILD). The core is
# linked in, and nothing but the module's entry point is visible: two Tuttis in one process do not mix.

find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)

tutti_glob(tutti_python_sources python/extension/*.c)
python_add_library(tutti_python MODULE WITH_SOABI ${tutti_python_sources})
set_target_properties(tutti_python PROPERTIES OUTPUT_NAME _tutti C_VISIBILITY_PRESET hidden)
target_include_directories(tutti_python PRIVATE ${PROJECT_SOURCE_DIR}/python/extension)
target_link_libraries(tutti_python PRIVATE tutti_settings tutti_static)
target_link_options(tutti_python PRIVATE -Wl,--exclude-libs,ALL -Wl,-z,now -Wl,-z,relro)
install(TARGETS tutti_python DESTINATION tutti COMPONENT python)

# Beside the package: what TUTTI_INSTALL=1 needs at the interpreter's start.
install(FILES python/start/_tutti_install.py python/start/tutti-install.pth DESTINATION . COMPONENT python)
