"""Every demuxer of FFmpeg, judged: whether it is used for videos, and if not, why.

A test fails if the installed FFmpeg has one that is not judged here. Each name is that of a single
demuxer, such as "matroska". `learner/container_index.py:INDEXED` is different: it takes FFmpeg's
whole name string, "matroska,webm", as `container.format.name` gives it.
"""

# What holds moving pictures and opens no other file.
VIDEO = {
    "cameras, discs, editing, the web": """
        3g2 3gp asf asf_o avi flv gxf ivf kux live_flv lxf m4a matroska mj2 mov mp4 mpeg mpegts
        mxf nut ogg rm ivr webm wtv ty pva nsv pmp dv r3d pdv
    """,
    "security cameras and recorders": """
        dhav hxvs ifv iv8 luodat mpjpeg mxg nc lmlm4 ingenient sdr2 msnwctcp smjpeg nuv lvf
    """,
    "laboratories: high speed, astronomy": "cine ser",
    "raw streams": """
        apv av1 avs2 avs3 cavsvideo dirac dnxhd evc h261 h263 h264 hevc ipu m4v mjpeg mjpeg_2000
        mpegvideo obu vc1 vc1test vvc yuv4mpegpipe
    """,
    "games, consoles, old computers": """
        3dostr 4xm anm argo_brp avs bethsoftvid bfi bink bmv c93 cdxl dfa dsicin dxa ea
        filmstrip film_cpk flic gdv hnm idcin ipmovie jv mgsts mm mods moflex mtv mv mvi paf
        psxstr rl2 roq rpl sga siff simbiosis_imx smk smush swf thp tiertexseq tmv usm vividas
        vivo vmd wc3movie wsvqa xmv yop
    """,
}

PICTURES = {
    "a picture, or pictures after each other without a time": """
        alias_pix bmp_pipe brender_pix cri_pipe dds_pipe dpx_pipe exr_pipe fits frm gem_pipe
        gif_pipe hdr_pipe ico j2k_pipe jpeg_pipe jpegls_pipe jpegxl_pipe jpegxs_pipe msp pam_pipe
        pbm_pipe pcx_pipe pfm_pipe pgm_pipe pgmyuv_pipe pgx_pipe phm_pipe photocd_pipe pictor_pipe
        png_pipe ppm_pipe psd_pipe qdraw_pipe qoi_pipe sgi_pipe sunrast_pipe tiff_pipe txd
        vbn_pipe webp_pipe xbm_pipe xpm_pipe xwd_pipe
    """,
    "an animated picture, which counts as a picture": "apng gif jpegxl_anim",
}

SOUND = {
    "sound only": """
        aa aac aax ac3 ac4 ace acm act adp ads adx aea afc aiff aix alp amr amrnb amrwb apac apc
        ape apm aptx aptx_hd argo_asf argo_cvg ast au avr bfstm binka bit boa bonk brstm caf
        codec2 codec2raw daud dcstr derf dfpwm dsf dss dts dtshd ea_cdata eac3 epaf flac fsb fwse
        g722 g723_1 g726 g726le g728 g729 genh gsm hca hcom iamf ilbc ircam iss kvag laf lc3 loas
        mca mlp mmf mp3 mpc mpc8 msf mtaf musx nistsphere nsp oma osq pp_bnk pvf qcp qoa redspark
        rka rsd rso s337m sbc scd sdns sds sdx shn sln sol sox spdif svag svs tak truehd tta vag
        voc vpk vqf w64 wady wav wavarc wsaud wsd wv wve xa xmd xvag xwma
    """,
}

OTHERS = {
    "samples of sound without a header: nothing says what they are": """
        alaw f32be f32le f64be f64le mulaw s16be s16le s24be s24le s32be s32le s8 u16be u16le
        u24be u24le u32be u32le u8 vidc
    """,
    "pictures without a header: nothing says how large they are": """
        bitpacked image2pipe rawvideo v210 v210x
    """,
    "a picture or sound; its animations have the same header as its pictures": "iff",
    "packets of a transport stream as data, not as pictures": "mpegtsraw",
    "pictures of song texts without a header: data of a few values are taken for them": "cdg",
    "text that is drawn as pictures": "adf bin idf tty xbin",
    "text that makes sound": "sbg",
    "subtitles or captions": """
        aqtitle ass dvbsub dvbtxt jacosub lrc mcc microdvd mpl2 mpsub pjs rcwt realtext sami scc
        srt stl subviewer subviewer1 sup tedcaptions vplayer webvtt
    """,
    "neither pictures nor sound": "data ffmetadata",
    "names other files": """
        concat dash hls image2 imf svg_pipe webm_dash_manifest
    """,
    "looks for a second file beside it": "mlv vobsub",
    "opens connections": "rtp rtsp sap sdp",
    "a device, or what FFmpeg makes itself": """
        alsa fbdev kmsgrab lavfi oss v4l2 video4linux2 x11grab
    """,
}


def names(*tables: dict[str, str]) -> list[str]:
    """The demuxers of these tables, in their order."""
    return [name for table in tables for group in table.values() for name in group.split()]


def why_not(name: str) -> str:
    """Why a demuxer is not used for videos; "" if it is.

    Raises:
        KeyError: nobody has judged it.
    """
    if name in names(VIDEO):
        return ""
    for table in (PICTURES, SOUND, OTHERS):
        for reason, group in table.items():
            if name in group.split():
                return reason
    raise KeyError(name)
