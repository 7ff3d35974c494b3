# What `cmake --install` and `cpack -G DEB` take: the programs, the man page, the completion, the service.
include(GNUInstallDirs)
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)  # the programs are named where a package is built: tests are no part of it

install(TARGETS slora slora-bench RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
install(FILES README.md ARCHITECTURE.md DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(DIRECTORY docs DESTINATION "${CMAKE_INSTALL_DOCDIR}" FILES_MATCHING PATTERN "*.md")
install(FILES packaging/copyright DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(FILES packaging/slora.service DESTINATION lib/systemd/system)
# With the prefix /usr this is /etc.
install(FILES packaging/slora.yaml DESTINATION "${CMAKE_INSTALL_FULL_SYSCONFDIR}/slora")

# The program writes its own manual, so a build for another machine has none.
if(NOT CMAKE_CROSSCOMPILING)
  find_program(GZIP_PROGRAM gzip REQUIRED)
  set(manual "${CMAKE_BINARY_DIR}/packaging")
  file(MAKE_DIRECTORY "${manual}")
  add_custom_command(
    OUTPUT "${manual}/slora.1.gz" "${manual}/slora.bash" "${manual}/changelog.gz"
    COMMAND slora man-page > "${manual}/slora.1"
    COMMAND "${GZIP_PROGRAM}" -9nf "${manual}/slora.1"
    COMMAND slora completion > "${manual}/slora.bash"
    COMMAND "${GZIP_PROGRAM}" -9nc "${CMAKE_SOURCE_DIR}/packaging/changelog" > "${manual}/changelog.gz"
    DEPENDS slora packaging/changelog VERBATIM)
  # Not part of `all`: an ordinary build needs no manual. `cmake --install` needs `--target manual` first; packaging builds it.
  add_custom_target(manual DEPENDS "${manual}/slora.1.gz" "${manual}/slora.bash" "${manual}/changelog.gz")
  install(FILES "${manual}/slora.1.gz" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" OPTIONAL)
  install(FILES "${manual}/changelog.gz" DESTINATION "${CMAKE_INSTALL_DOCDIR}" OPTIONAL)
  install(FILES "${manual}/slora.bash" DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions" RENAME slora OPTIONAL)
endif()

set(CPACK_PACKAGE_NAME slora)
set(CPACK_PACKAGE_VENDOR slora)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "server for one language model and many LoRA adapters")
set(CPACK_PACKAGE_DESCRIPTION
  "Serves one base language model and any number of LoRA adapters of it in one\nprocess, over OpenAI's API. Requests for different adapters run in one batch,\nand KV cache, adapters and cached prefixes share one paged memory pool.")
set(SLORA_PACKAGE_CONTACT "slora <slora@localhost>" CACHE STRING "Maintainer of the package, with a mail address")
set(CPACK_PACKAGE_CONTACT "${SLORA_PACKAGE_CONTACT}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION misc)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "${CMAKE_SOURCE_DIR}/packaging/conffiles;${CMAKE_SOURCE_DIR}/packaging/postinst;${CMAKE_SOURCE_DIR}/packaging/postrm")
include(CPack)
