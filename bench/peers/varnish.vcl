# Varnish as bench/run.sh measures it; words like @PORT@ are replaced. The rest is Varnish's built-in VCL: a hit
# takes no line of this. https://varnish-cache.org/docs/7.1/
vcl 4.1;

backend origin {
    .host = "@HOST@";
    .port = "@ORIGIN_PORT@";
}
