# SPDX-License-Identifier: GPL-2.0-or-later
# The messages of the daemon's API in C, made from protos/ when the plugin is built: the library `messages`.

find_program(PROTOC_C protoc-c DOC "Makes C of protos (protobuf-c)")
if(NOT PROTOC_C)
  message(FATAL_ERROR "protoc-c, which makes the API's messages in C, is not installed.\n"
                      "Debian, Ubuntu: sudo apt install protobuf-c-compiler")
endif()
set(STREAMFX_PROTOS "${CMAKE_CURRENT_LIST_DIR}/../../../protos" CACHE PATH "The folder protos/ of streamfx")
if(NOT EXISTS "${STREAMFX_PROTOS}/streamfx/v1")
  message(FATAL_ERROR "There are no protos of streamfx in ${STREAMFX_PROTOS}.\n"
                      "Build in a checkout of streamfx, or name its folder: -DSTREAMFX_PROTOS=FOLDER/protos")
endif()
find_package(PkgConfig REQUIRED)
pkg_check_modules(ProtobufC REQUIRED IMPORTED_TARGET libprotobuf-c>=1.3)

set(messages_folder "${CMAKE_CURRENT_BINARY_DIR}/messages")
set(messages health google/protobuf/field_mask google/protobuf/timestamp)
foreach(name IN ITEMS device device_service portrait portrait_service session session_service)
  list(APPEND messages streamfx/v1/${name})
  list(APPEND protos "${STREAMFX_PROTOS}/streamfx/v1/${name}.proto")
endforeach()
list(TRANSFORM messages PREPEND "${messages_folder}/")
list(TRANSFORM messages APPEND .pb-c.c OUTPUT_VARIABLE messages_code)
list(TRANSFORM messages APPEND .pb-c.h OUTPUT_VARIABLE messages_headers)
add_custom_command(
  OUTPUT ${messages_code} ${messages_headers}
  COMMAND sh "${CMAKE_CURRENT_LIST_DIR}/make-messages" "${PROTOC_C}" "${STREAMFX_PROTOS}" "${messages_folder}"
  DEPENDS ${protos} "${CMAKE_CURRENT_LIST_DIR}/make-messages"
  COMMENT "Making the API's messages in C"
  VERBATIM
)
add_library(messages STATIC ${messages_code} ${messages_headers})
target_include_directories(messages SYSTEM PUBLIC "${messages_folder}")
target_compile_options(messages PRIVATE -Wno-missing-braces) # protoc-c leaves some out
target_link_libraries(messages PUBLIC PkgConfig::ProtobufC)
set_target_properties(messages PROPERTIES POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)
