# What a package of Larder contains: `cmake --install build --prefix /usr`, and packaging/README.md.
include(GNUInstallDirs)

install(TARGETS cache_server proxy_client cache_ctl RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS larder_client larder_common ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES proxy_client/larder.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

install(FILES packaging/man/cache_ctl.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES packaging/man/larder.conf.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)
install(FILES packaging/man/cache_server.8 packaging/man/proxy_client.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
install(FILES README.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES packaging/cache.conf packaging/proxy.conf DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
foreach(program cache_server proxy_client cache_ctl) # it is looked for by the name of the program
  install(FILES packaging/completion/larder.bash RENAME ${program}
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
endforeach()

# The units name paths below the prefix, which is known only now: --prefix may say another one than was configured.
foreach(unit larder-cache.service larder-proxy@.service)
  install(CODE "
    set(bindir \"${CMAKE_INSTALL_BINDIR}\")
    set(docdir \"${CMAKE_INSTALL_DOCDIR}\")
    foreach(directory bindir docdir)
      cmake_path(ABSOLUTE_PATH \${directory} BASE_DIRECTORY \"\${CMAKE_INSTALL_PREFIX}\" NORMALIZE)
    endforeach()
    set(unit \"\${CMAKE_INSTALL_PREFIX}/lib/systemd/system/${unit}\")
    message(STATUS \"Installing: \$ENV{DESTDIR}\${unit}\")
    configure_file(\"${CMAKE_SOURCE_DIR}/packaging/${unit}.in\" \"\$ENV{DESTDIR}\${unit}\" @ONLY)
    list(APPEND CMAKE_INSTALL_MANIFEST_FILES \"\${unit}\")")
endforeach()
